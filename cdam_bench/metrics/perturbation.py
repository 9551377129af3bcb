"""The perturbation engine: many partly replaced copies of each image through the backbone, in full micro-batches."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.computing.colours import Normalised
from cdam_bench.computing.micro_batches import MicroBatch
from cdam_bench.errors import require, require_count
from cdam_bench.metrics.fills import Fill, Scene, filled, replaced
from cdam_bench.metrics.paths import PathReader, Reader, paths_of
from cdam_bench.metrics.ranking import UNITS, first_equal_of, ranking_map, ranks_of, require_ranking

ORDERS = ("mif", "lif")
DEFAULT_BATCH_SIZE = 64
PAPER_BLUR_SIGMA = 14.0  # pixels at 224²


def area(curve: Tensor) -> Tensor:
    """Trapezoid area of a curve over percent, x evenly from 0 to 100.

    Args:
        curve: (..., steps + 1), in logits.
    Returns:
        (...,), in logit · percent.
    """
    return torch.trapezoid(curve, dx=100 / (curve.shape[-1] - 1), dim=-1)


def perturbation_curves(
    backbone: Backbone,
    images: Tensor,
    maps: Tensor,
    order: str,
    steps: int = 40,
    blur_sigma: float = PAPER_BLUR_SIGMA,
    unit: str = "pixel",
    batch_size: int = DEFAULT_BATCH_SIZE,
    *,
    fill: str | Tensor = "blur",
    rank_by: str = "signed",
    path: str = "all",
    seeds: Tensor | None = None,
    normalisation: Normalised | None = None,
) -> Tensor:
    """Outputs while pixels are replaced by their blurred copy, 0 to 100 % of them in `steps` equal steps.

    Args:
        backbone: whose outputs are recorded.
        images: (B, 3, H, W), normalised.
        maps: importance (B, H, W), or (B, R, H, W): R rankings of each image.
        order: "mif": the most important pixels first; "lif": exactly the reverse.
        steps: number of steps; the curve has one point more.
        blur_sigma: in pixels; the paper's 14 is for 224².
        unit: "pixel" (the paper), or "patch": the map is averaged over each patch before ranking.
        batch_size: images in one forward pass; halved when memory runs out.
        fill: what pixels are replaced by: "blur" (the paper), "mean" (0 in normalised units), "black", "noise", "linear" (imputed
            from the pixels that are left), or images of one's own (B, 3, H, W), as another image of the dataset.
        rank_by: what of a map S is ranked: "signed": S (the paper), "absolute": |S|, "positive": max(S, 0).
        path: by which the perturbation reaches the output: "all" (the paper), "tokens" or "cls", as in `PathReader`.
        seeds: (B,) long, one per image, of the noise; None: all 0.
        normalisation: an object with `mean` and `std` of the images, for "black"; None: the backbone's `preprocessing`.
    Returns:
        (B, steps + 1, C) float32, or (B, R, steps + 1, C).
    Raises:
        UserError: for an unknown order, unit, fill, ranking or path, and for numbers and shapes that cannot be.
    Source: Brocki et al. 2024, §3.4.
    """
    require(order in ORDERS, f"order={order} is unknown: use one of {', '.join(ORDERS)}")
    require(unit in UNITS, f"unit={unit} is unknown: use one of {', '.join(UNITS)}")
    (path,) = paths_of(path)
    images, maps = images.to(backbone.device), maps.to(backbone.device)
    check_maps(maps, images)
    many = maps.reshape(len(images), -1, *maps.shape[-2:])
    many = ranking_map(many, unit, require_ranking(rank_by), backbone.patch_size)
    known = normalisation or getattr(backbone, "preprocessing", None)
    replacement = filled(fill, Scene(images, blur_sigma, seeds, known))
    read = None if path == "all" else PathReader(backbone, images, (path,), batch_size)
    curves = ranked_curves(backbone, images, ranks_of(many), (order,), steps, replacement, None, batch_size, read)[
        :, :, 0
    ]
    return curves.reshape(*maps.shape[:-2], curves.shape[2], curves.shape[-1])


def check_maps(maps: Tensor, images: Tensor) -> None:
    """Raise UserError unless maps are (B, …, H, W) for images (B, 3, H, W)."""
    fits = maps.ndim in (3, 4) and maps.shape[0] == len(images) and maps.shape[-2:] == images.shape[-2:]
    require(fits, f"maps of shape {tuple(maps.shape)} do not belong to images of shape {tuple(images.shape)}")


def ranked_curves(
    backbone: Backbone,
    images: Tensor,
    ranks: Tensor,
    orders: tuple[str, ...],
    steps: int,
    fill: Fill,
    targets: Tensor | None = None,
    batch_size: int | MicroBatch = DEFAULT_BATCH_SIZE,
    read: Reader | None = None,
) -> Tensor:
    """Curves for several rankings and orders at once; equal rankings of an image, 0 % and 100 % are computed once.

    Args:
        backbone, images, steps, batch_size: as in `perturbation_curves`.
        ranks: (B, R, H·W), from `ranks_of`.
        orders: any of "mif", "lif".
        fill: (B, 3, H, W), what pixels are replaced by, or what gives it for a mask.
        targets: (B, K) outputs to keep; None: all C.
        read: gives the outputs of perturbed images; None: the backbone's logits.
    Returns:
        (B, R, orders, steps + 1, K or C) float32; with a `read` whose outputs are (M, P, C): (B, R, orders, steps + 1, P, K or C).
    """
    steps = require_count("steps", steps)
    batch, rankings, pixels = ranks.shape
    device = images.device
    shape = (batch, rankings, len(orders), steps + 1)
    first_equal = first_equal_of(ranks)  # (B, R)
    counts = (torch.arange(steps + 1, device=device, dtype=torch.float64) / steps * pixels).round().long()

    # one job per distinct perturbed image: (image, ranking, order, step); how many there are is known on the CPU alone
    grid = torch.stack(torch.meshgrid(*(torch.arange(n) for n in shape), indexing="ij"), -1)
    own = (first_equal == torch.arange(rankings))[:, :, None, None]
    first_ranking_and_order = (grid[..., 1] == 0) & (grid[..., 2] == 0)
    inner = (grid[..., 3] > 0) & (grid[..., 3] < steps)
    jobs = grid[(own & inner) | first_ranking_and_order].to(device)  # (J, 4)
    reversed_order = torch.tensor([order == "lif" for order in orders], device=device)

    def perturbed(job: Tensor) -> Tensor:
        image, ranking, order, step = job.unbind(1)
        rank = ranks[image, ranking]  # (M, H·W)
        rank = torch.where(reversed_order[order][:, None], pixels - 1 - rank, rank)
        mask = (rank < counts[step][:, None]).reshape(-1, 1, *images.shape[-2:])
        return replaced(images, fill, image, mask)

    values = forward_jobs(backbone, jobs, perturbed, targets, batch_size, read)
    result = values.new_empty(*shape, *values.shape[1:])
    result[tuple(jobs.unbind(1))] = values
    for end in (0, steps):
        result[:, :, :, end] = result[:, :1, :1, end]
    return result[torch.arange(batch, device=device)[:, None], first_equal.to(device)]


def forward_jobs(
    backbone: Backbone,
    jobs: Tensor,
    make_images: Callable[[Tensor], Tensor],
    targets: Tensor | None,
    batch_size: int | MicroBatch,
    read: Reader | None = None,
) -> Tensor:
    """Outputs of the images that `make_images` makes from rows of `jobs`, in full micro-batches.

    Args:
        jobs: (J, …) long; column 0 is the image's index.
        make_images: rows (M, …) → images (M, 3, H, W).
        targets: (B, K) outputs to keep per image; None: all C.
        batch_size: rows in one forward pass; halved when memory runs out, a MicroBatch for its owner too.
        read: gives the outputs (M, …, C) of images and of their indices (M,); None: the backbone's logits.
    Returns:
        (J, …, K or C) float32, on the jobs' device.
    Raises:
        UserError: if a single image does not fit into memory.
    """

    def outputs(part: slice) -> Tensor:
        images, index = make_images(jobs[part]), jobs[part, 0]
        logits = backbone.logits(images) if read is None else read(images, index)
        return logits if targets is None else chosen_outputs(logits, targets[index])

    size = batch_size if isinstance(batch_size, MicroBatch) else MicroBatch(batch_size)
    with torch.inference_mode():
        return size.in_parts(len(jobs), outputs).clone()


def chosen_outputs(logits: Tensor, targets: Tensor) -> Tensor:
    """Outputs (M, …, C) → those of each row's own targets (M, K): (M, …, K)."""
    middle = logits.shape[1:-1]
    index = targets.reshape(len(targets), *[1] * len(middle), -1).expand(-1, *middle, -1)
    return logits.gather(-1, index)


def find_batch_size(backbone: Backbone, image_size: tuple[int, int], largest: int = 4096) -> int:
    """The micro-batch at which plain forward passes of images (H, W) stop getting faster.

    Doubles from 16 while throughput grows by more than 3 % and memory lasts.
    """
    best, best_rate = 16, 0.0
    size = best
    while size <= largest:
        try:
            rate = _throughput(backbone, torch.zeros(size, 3, *image_size, device=backbone.device))
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        if rate <= 1.03 * best_rate:
            break
        best, best_rate = size, rate
        size *= 2
    return best


def _throughput(backbone: Backbone, images: Tensor, repeats: int = 3) -> float:
    """Images per second of plain forward passes, after one to warm up."""
    with torch.inference_mode():
        backbone.logits(images)
        start = time.perf_counter()
        for _ in range(repeats):
            outputs = backbone.logits(images)
        outputs[0, 0].item()  # waits for the device
    return repeats * len(images) / (time.perf_counter() - start)
