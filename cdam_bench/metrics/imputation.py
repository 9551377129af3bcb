"""Noisy linear imputation: missing pixels as weighted means of their neighbours, so that a mask leaves no edges to see."""

import torch
import torch.nn.functional as F
from torch import Tensor

ITERATIONS = 2  # of conjugate gradients, times the longer side in pixels, on each level of the pyramid
SMALLEST = 4  # side of the pyramid's last level, in pixels


def impute(images: Tensor, missing: Tensor) -> Tensor:
    """Every missing pixel is the weighted mean of its eight neighbours, known or missing themselves.

    The linear equations of all missing pixels are solved by conjugate gradients, beginning from the solution at half the
    resolution; the number of steps is fixed, so that nothing is read back from the device.

    Args:
        images: (B, 3, H, W).
        missing: (B, 1, H, W) bool.
    Returns:
        (B, 3, H, W): the known pixels as they are; where nothing is known, 0.
    Source: Rong et al. 2022, "A Consistent and Efficient Evaluation Strategy for Attribution Methods" (ROAD).
    """
    guess = _from_coarser(images, missing)
    return torch.where(missing, _solved(images, missing, guess), images)


def _from_coarser(images: Tensor, missing: Tensor) -> Tensor:
    """A first guess of the missing pixels: the solution at half the resolution, enlarged."""
    known = (~missing).to(images.dtype)
    if min(images.shape[-2:]) <= SMALLEST:
        count = known.sum((2, 3), keepdim=True)
        return ((images * known).sum((2, 3), keepdim=True) / count.clamp(min=1)).expand_as(images)
    shares = F.avg_pool2d(known, 2, ceil_mode=True, count_include_pad=False)
    sums = F.avg_pool2d(images * known, 2, ceil_mode=True, count_include_pad=False)
    coarse = impute(sums / shares.clamp(min=1e-6), shares == 0)
    return F.interpolate(coarse, size=images.shape[-2:], mode="bilinear", align_corners=False)


def _solved(images: Tensor, missing: Tensor, guess: Tensor) -> Tensor:
    """Conjugate gradients on the missing pixels, whose system is a graph's Laplacian: symmetric, positive definite."""
    free = missing.to(images.dtype)
    degree = _neighbours(torch.ones_like(free))

    def system(values: Tensor) -> Tensor:
        return free * (degree * values - _neighbours(values))

    found = free * guess
    residual = free * _neighbours(images * (1 - free)) - system(found)
    direction, norm = residual, _squared(residual)
    for _ in range(ITERATIONS * max(images.shape[-2:])):
        along = system(direction)
        step = norm / (direction * along).sum((2, 3), keepdim=True).clamp(min=1e-20)
        found, residual = found + step * direction, residual - step * along
        before, norm = norm, _squared(residual)
        direction = residual + norm / before.clamp(min=1e-20) * direction
    return found


def _neighbours(values: Tensor) -> Tensor:
    """Weighted sum of the eight neighbours inside the image: (B, C, H, W) → (B, C, H, W).

    1/6 of those beside, above and below, 1/12 of those across corners (Rong et al. 2022): that is (1, 2, 1) along rows and columns,
    over 12, without the pixel itself; additions are far faster than a convolution here.
    """
    padded = F.pad(values, (1, 1, 1, 1))
    rows = padded[..., :-2, :] + padded[..., 2:, :] + 2 * padded[..., 1:-1, :]
    return (rows[..., :-2] + rows[..., 2:] + 2 * rows[..., 1:-1]) / 12 - values / 3


def _squared(values: Tensor) -> Tensor:
    return values.square().sum((2, 3), keepdim=True)
