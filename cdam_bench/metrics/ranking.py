"""Ranking: in which order the pixels of a map are perturbed."""

from collections.abc import Callable

import torch
from torch import Tensor

from cdam_bench.errors import UserError, require

UNITS = ("pixel", "patch")
RANKINGS: dict[str, Callable[[Tensor], Tensor]] = {  # what of a map S is ranked
    "signed": lambda maps: maps,
    "absolute": torch.abs,
    "positive": lambda maps: maps.clamp(min=0),
}


def require_ranking(rank_by: str) -> str:
    """A metric's argument `rank_by`, or UserError."""
    if not isinstance(rank_by, str) or rank_by not in RANKINGS:
        raise UserError(f"rank_by={rank_by} is unknown: use one of {', '.join(RANKINGS)}")
    return rank_by


def ranks_of(maps: Tensor) -> Tensor:
    """Rank of every pixel, 0 the most important; ties in order of the pixel's index.

    Args:
        maps: (..., H, W).
    Returns:
        (..., H·W) long: a permutation of 0 … H·W − 1.
    """
    flat = maps.flatten(-2)
    order = flat.sort(dim=-1, descending=True, stable=True).indices
    places = torch.arange(flat.shape[-1], device=flat.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, places)


def average_per_patch(maps: Tensor, patch_size: int) -> Tensor:
    """Every pixel takes the mean of its patch: (..., H, W) → (..., H, W). A map that is constant on patches is unchanged."""
    *lead, height, width = maps.shape
    require(
        height % patch_size == 0 and width % patch_size == 0,
        f"unit=patch: maps of {height}×{width} have no whole patches of {patch_size} pixels, use unit=pixel or another image_size",
    )
    tiles = maps.reshape(*lead, height // patch_size, patch_size, width // patch_size, patch_size)
    mean, highest = tiles.mean((-3, -1), keepdim=True), tiles.amax((-3, -1), keepdim=True)
    constant = highest == tiles.amin((-3, -1), keepdim=True)  # then the mean's rounding must not break ties
    return torch.where(constant, highest, mean).expand_as(tiles).reshape(maps.shape)


def ranking_map(maps: Tensor, unit: str, rank_by: str, patch_size: int) -> Tensor:
    """What is ranked of maps (..., H, W): first they are averaged per patch (unit "patch"), then |S| or max(S, 0) is taken."""
    return RANKINGS[rank_by](maps if unit == "pixel" else average_per_patch(maps, patch_size))


def first_equal_of(ranks: Tensor) -> Tensor:
    """For each ranking (B, R, …), the index of the first one of the same image that equals it: (B, R) long, on the CPU.

    The one value that curves read back from a device: it says how many forward passes there are.
    """
    equal = torch.stack([(ranks == ranks[:, r : r + 1]).all(-1) for r in range(ranks.shape[1])], -1)  # (B, R, R)
    return equal.long().argmax(-1).cpu()
