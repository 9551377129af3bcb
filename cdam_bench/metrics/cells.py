"""Cells: an image cut into groups of pixels, each deleted alone."""

import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.computing.micro_batches import MicroBatch
from cdam_bench.errors import require, require_count
from cdam_bench.metrics.fills import Fill, replaced
from cdam_bench.metrics.perturbation import forward_jobs


def grid_cells(grid: int, image_size: tuple[int, int]) -> Tensor:
    """Which cell of a grid every pixel is in, in reading order; cells differ by a pixel where the image cannot be shared evenly.

    Args:
        grid: cells per side.
        image_size: (H, W) in pixels.
    Returns:
        (H, W) long, 0 … grid² − 1.
    Raises:
        UserError: for fewer than 2 cells per side, or more than pixels.
    """
    require_count("grid", grid)
    fewest = min(image_size)
    require(2 <= grid <= fewest, f"grid={grid}: use 2 to {fewest} cells per side")
    rows, columns = (torch.arange(side) * grid // side for side in image_size)
    return rows[:, None] * grid + columns


def cell_sums(maps: Tensor, cells: Tensor, count: int) -> Tensor:
    """Sum of each map (B, H, W) in every cell (H, W) or (B, H, W) of `count`: (B, count) float64."""
    index = cells.to(maps.device).expand(maps.shape).flatten(1)
    sums = torch.zeros(len(maps), count, dtype=torch.float64, device=maps.device)
    return sums.scatter_add(1, index, maps.flatten(1).double())


def cell_drops(
    backbone: Backbone,
    images: Tensor,
    targets: Tensor,
    cells: Tensor,
    count: int,
    fill: Fill,
    batch_size: int | MicroBatch,
) -> Tensor:
    """Drop of the targets' logits when one cell is replaced.

    Args:
        backbone: whose logits are recorded.
        images: (B, 3, H, W), normalised.
        targets: (B, K) long.
        cells: (B, R, H, W) long, 0 … count − 1: R ways to cut each image.
        count: of cells.
        fill: (B, 3, H, W), what a cell's pixels are replaced by, or what gives it for a mask.
        batch_size: images in one forward pass.
    Returns:
        (B, R, count, K) float32.
    """
    device = images.device
    batch, cuts = cells.shape[:2]
    # a job is (image, way to cut, cell); cell −1 is the whole image, once per image
    every = torch.cartesian_prod(*(torch.arange(n, device=device) for n in (batch, cuts, count)))
    whole = torch.stack([torch.arange(batch, device=device), *[torch.zeros(batch, device=device).long()] * 2], 1)
    whole[:, 2] = -1

    def perturbed(job: Tensor) -> Tensor:
        image, cut, cell = job.unbind(1)
        deleted = cells[image, cut] == cell[:, None, None]
        return replaced(images, fill, image, deleted[:, None])

    logits = forward_jobs(backbone, torch.cat([whole, every]), perturbed, targets, batch_size)  # (J, K)
    clean, without = logits[:batch], logits[batch:].reshape(batch, cuts, count, -1)
    return clean[:, None, None] - without


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's correlation along the last axis: (…, n) twice → (…,) float64; ties share a mean rank, NaN if all are equal."""
    ranks = [_mean_ranks(values.double()) for values in (first, second)]
    first_ranks, second_ranks = (values - values.mean(-1, keepdim=True) for values in ranks)
    scale = first_ranks.norm(dim=-1) * second_ranks.norm(dim=-1)
    return torch.where(scale > 0, (first_ranks * second_ranks).sum(-1) / scale, torch.nan)


def _mean_ranks(values: Tensor) -> Tensor:
    """Rank of every value along the last axis, 1 the smallest; O(n²), for few values."""
    below = (values[..., None, :] < values[..., :, None]).sum(-1)
    equal = (values[..., None, :] == values[..., :, None]).sum(-1)
    return below + (equal + 1) / 2
