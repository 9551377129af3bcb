"""The perturbation engine: many partly blurred copies of each image through the backbone, in full micro-batches."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.computing.blur import gaussian_blur
from cdam_bench.computing.micro_batches import MicroBatch
from cdam_bench.errors import require, require_count

ORDERS = ("mif", "lif")
UNITS = ("pixel", "patch")
DEFAULT_BATCH_SIZE = 64
PAPER_BLUR_SIGMA = 14.0  # pixels at 224²


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
    tiles = maps.reshape(*lead, height // patch_size, patch_size, width // patch_size, patch_size)
    mean, highest = tiles.mean((-3, -1), keepdim=True), tiles.amax((-3, -1), keepdim=True)
    constant = highest == tiles.amin((-3, -1), keepdim=True)  # then the mean's rounding must not break ties
    return torch.where(constant, highest, mean).expand_as(tiles).reshape(maps.shape)


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
    Returns:
        (B, steps + 1, C) float32, or (B, R, steps + 1, C).
    Raises:
        UserError: for an unknown order or unit, and for numbers that cannot be.
    Source: Brocki et al. 2024, §3.4.
    """
    require(order in ORDERS, f"order={order} is unknown: use one of {', '.join(ORDERS)}")
    require(unit in UNITS, f"unit={unit} is unknown: use one of {', '.join(UNITS)}")
    images, maps = images.to(backbone.device), maps.to(backbone.device)
    check_maps(maps, images)
    many = maps.reshape(len(images), -1, *maps.shape[-2:])
    if unit == "patch":
        many = average_per_patch(many, backbone.patch_size)
    curves = ranked_curves(backbone, images, ranks_of(many), (order,), steps, blur_sigma, None, batch_size)[:, :, 0]
    return curves.reshape(*maps.shape[:-2], *curves.shape[2:])


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
    blur_sigma: float,
    targets: Tensor | None = None,
    batch_size: int | MicroBatch = DEFAULT_BATCH_SIZE,
) -> Tensor:
    """Curves for several rankings and orders at once; equal rankings of an image, 0 % and 100 % are computed once.

    Args:
        backbone, images, steps, blur_sigma, batch_size: as in `perturbation_curves`.
        ranks: (B, R, H·W), from `ranks_of`.
        orders: any of "mif", "lif".
        targets: (B, K) outputs to keep; None: all C.
    Returns:
        (B, R, orders, steps + 1, K or C) float32.
    """
    steps = require_count("steps", steps)
    blurred = gaussian_blur(images, blur_sigma)
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
        return torch.where(mask, blurred[image], images[image])

    values = forward_jobs(backbone, jobs, perturbed, targets, batch_size)
    result = values.new_empty(*shape, values.shape[-1])
    result[tuple(jobs.unbind(1))] = values
    result[..., 0, :] = result[:, :1, :1, 0]
    result[..., steps, :] = result[:, :1, :1, steps]
    return result[torch.arange(batch, device=device)[:, None], first_equal.to(device)]


def first_equal_of(ranks: Tensor) -> Tensor:
    """For each ranking (B, R, …), the index of the first one of the same image that equals it: (B, R) long, on the CPU.

    The one value that curves read back from a device: it says how many forward passes there are.
    """
    equal = torch.stack([(ranks == ranks[:, r : r + 1]).all(-1) for r in range(ranks.shape[1])], -1)  # (B, R, R)
    return equal.long().argmax(-1).cpu()


def forward_jobs(
    backbone: Backbone,
    jobs: Tensor,
    make_images: Callable[[Tensor], Tensor],
    targets: Tensor | None,
    batch_size: int | MicroBatch,
) -> Tensor:
    """Outputs of the images that `make_images` makes from rows of `jobs`, in full micro-batches.

    Args:
        jobs: (J, …) long; column 0 is the image's index.
        make_images: rows (M, …) → images (M, 3, H, W).
        targets: (B, K) outputs to keep per image; None: all C.
        batch_size: rows in one forward pass; halved when memory runs out, a MicroBatch for its owner too.
    Returns:
        (J, K or C) float32, on the jobs' device.
    Raises:
        UserError: if a single image does not fit into memory.
    """

    def outputs(part: slice) -> Tensor:
        logits = backbone.logits(make_images(jobs[part]))
        return logits if targets is None else logits.gather(1, targets[jobs[part, 0]])

    size = batch_size if isinstance(batch_size, MicroBatch) else MicroBatch(batch_size)
    with torch.inference_mode():
        return size.in_parts(len(jobs), outputs).clone()


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
