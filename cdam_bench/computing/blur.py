"""Gaussian blur: the copy of an image that hidden or perturbed pixels are taken from."""

import math

import torch
from torch import Tensor

from cdam_bench.errors import require, require_number

LARGEST_SIGMA = 1000.0  # pixels


def require_sigma(blur_sigma: float) -> float:
    """The argument `blur_sigma` in pixels, or UserError: it must be positive."""
    require_number("blur_sigma", blur_sigma, -LARGEST_SIGMA, LARGEST_SIGMA)
    require(blur_sigma > 0, f"blur_sigma={blur_sigma}: must be positive (in pixels)")
    return float(blur_sigma)


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """Blur images with a Gaussian, with mirrored edges.

    Both passes of the separable filter are matrix products, which CPUs and GPUs do faster than one-channel convolutions.

    Args:
        images: (B, C, H, W), any scale.
        sigma: standard deviation in pixels; 0 leaves the images as they are.
    Returns:
        (B, C, H, W), on the same device.
    Raises:
        UserError: for a negative sigma.
    """
    require(sigma >= 0, f"blur_sigma={sigma}: must not be negative (it is in pixels)")
    if sigma == 0:
        return images.clone()
    height, width = images.shape[-2:]
    return _blur_matrix(height, sigma).to(images) @ images @ _blur_matrix(width, sigma).to(images).T


def _blur_matrix(length: int, sigma: float) -> Tensor:
    """(length, length) matrix M such that M @ x is x blurred along its first axis."""
    # three standard deviations hold 99.7 % of the mass; mirroring needs a radius smaller than the image
    radius = min(math.ceil(3 * sigma), length - 1)
    offsets = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    source = torch.arange(length)[:, None] + offsets  # (length, taps)
    source = (length - 1) - ((length - 1) - source.abs()).abs()  # mirrored at both ends
    weights = (kernel / kernel.sum()).expand(length, -1)
    return torch.zeros(length, length).scatter_add_(1, source, weights)
