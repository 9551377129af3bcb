"""Noise: the one place where the methods draw normal numbers on the device they compute on."""

import torch
from torch import Tensor

from cdam_bench.errors import UserError, require_count, require_number


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


def smoothing(num_samples: int, noise_level: float, multiply: str) -> tuple[int, float, str]:
    """Checked arguments of the methods that average over noisy tokens: passes, share of the tokens' range, "noisy" or "clean"."""
    count, level = require_count("num_samples", num_samples), require_number("noise_level", noise_level, 0, 100)
    if multiply not in ("noisy", "clean"):
        raise UserError(f"multiply={multiply} is unknown: use noisy or clean")
    return count, level, multiply
