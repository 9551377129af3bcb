"""Noise: the one place where the methods draw normal numbers on the device they compute on."""

import torch
from torch import Tensor


def standard_normal(shape: tuple[int, ...], seed: int, device: torch.device) -> Tensor:
    """Standard normal numbers that depend on the seed and the kind of device alone.

    Args:
        shape: of what is drawn.
        seed: of one image; its noise depends on nothing else.
        device: where they are drawn, and where they stay.
    Returns:
        float32 of that shape.
    """
    return torch.randn(shape, generator=torch.Generator(device).manual_seed(seed), device=device)
