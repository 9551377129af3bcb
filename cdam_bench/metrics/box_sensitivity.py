"""Box sensitivity: does the importance inside a box predict how much the logit drops when the box is perturbed?"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.computing.blur import gaussian_blur, require_sigma
from cdam_bench.computing.micro_batches import MicroBatch
from cdam_bench.errors import LARGEST_COUNT, require, require_count, require_number
from cdam_bench.metrics.base import DELTA_NOTE, Measurement, Metric, Subject, direction
from cdam_bench.metrics.perturbation import DEFAULT_BATCH_SIZE, PAPER_BLUR_SIGMA, forward_jobs
from cdam_bench.store.columns import Column, Curve

DEFAULT_SIZES = (10, 20, 30, 40, 50, 60)  # percent of the image's side; [open] in the paper


def box_sides(sizes: Sequence[float], image_size: tuple[int, int]) -> list[int]:
    """Sides in pixels of boxes given in percent of the image's shorter side.

    Raises:
        UserError: if a box is smaller than a pixel or not smaller than the image.
    """
    shorter = min(image_size)
    sides = [round(size / 100 * shorter) for size in sizes]
    for size, side in zip(sizes, sides, strict=True):
        require(
            1 <= side < shorter,
            f"sizes={size:g}: a box of {size:g} % is {side} pixels, which does not fit into an image of "
            f"{shorter} pixels with room to move: use sizes between {100 / shorter:.1f} and 99 (percent of the side)",
        )
    return sides


def draw_boxes(
    seeds: Tensor,
    sizes: Sequence[float] = DEFAULT_SIZES,
    num_boxes: int = 100,
    image_size: tuple[int, int] = (224, 224),
) -> Tensor:
    """Random square boxes, uniformly over all places in the image; those of an image depend on its seed alone.

    Args:
        seeds: (B,) long.
        sizes: sides in percent of the image's shorter side.
        num_boxes: per image and size.
        image_size: (H, W) in pixels.
    Returns:
        (B, sizes, num_boxes, 4) long: [top, left, bottom, right) in pixels, on the seeds' device.
    Raises:
        UserError: for boxes that do not fit.
    """
    sides = torch.tensor(box_sides(sizes, image_size))
    room = torch.tensor(image_size) - sides[:, None] + 1  # (S, 2)
    boxes = []
    for seed in seeds.tolist():  # drawn on the CPU: the same boxes on every device
        uniform = torch.rand(
            (len(sides), num_boxes, 2), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
        corner = (uniform * room[:, None]).long()
        boxes.append(torch.cat([corner, corner + sides[:, None, None]], -1))
    return torch.stack(boxes).to(seeds.device)


def box_responses(
    backbone: Backbone,
    images: Tensor,
    boxes: Tensor,
    targets: Tensor,
    blur_sigma: float = PAPER_BLUR_SIGMA,
    batch_size: int | MicroBatch = DEFAULT_BATCH_SIZE,
) -> Tensor:
    """Drop of the targets' logits when a box is replaced by its blurred copy; does not depend on any estimator.

    Args:
        backbone: whose outputs are recorded.
        images: (B, 3, H, W), normalised.
        boxes: (B, S, M, 4) long, from `draw_boxes`.
        targets: (B, K) long.
        blur_sigma: in pixels; the paper's 14 is for 224².
        batch_size: images in one forward pass.
    Returns:
        (B, S, M, K) float32: f_c(image) − f_c(image with the box perturbed).
    """
    device = backbone.device
    images, boxes, targets = images.to(device), boxes.to(device), targets.to(device)
    batch, sizes, count, _ = boxes.shape
    height, width = images.shape[-2:]
    blurred = gaussian_blur(images, blur_sigma)
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    flat = boxes.flatten(1, 2)  # (B, S·M, 4)
    # job (image, box); box −1 is the unperturbed image
    image_index = torch.arange(batch, device=device)[:, None].expand(-1, sizes * count + 1)
    box_index = torch.arange(-1, sizes * count, device=device).expand(batch, -1)
    jobs = torch.stack([image_index, box_index], -1).flatten(0, 1)

    def perturbed(job: Tensor) -> Tensor:
        image, box = job.unbind(1)
        top, left, bottom, right = flat[image, box][..., None].unbind(1)  # each (M, 1)
        inside_rows = (rows >= top) & (rows < bottom) & (box >= 0)[:, None]
        inside = inside_rows[:, :, None] & ((columns >= left) & (columns < right))[:, None, :]
        return torch.where(inside[:, None], blurred[image], images[image])

    logits = forward_jobs(backbone, jobs, perturbed, targets, batch_size).reshape(batch, -1, targets.shape[1])
    drops = logits[:, :1] - logits[:, 1:]
    return drops.reshape(batch, sizes, count, -1)


def box_sums(maps: Tensor, boxes: Tensor) -> Tensor:
    """Sum of each map inside boxes: maps (B, H, W), boxes (B, S, M, 4) → (B, S, M) float64."""
    batch, height, width = maps.shape
    integral = torch.zeros(batch, height + 1, width + 1, dtype=torch.float64, device=maps.device)
    integral[:, 1:, 1:] = maps.double().cumsum(1).cumsum(2)
    top, left, bottom, right = boxes.unbind(-1)
    image = torch.arange(batch, device=maps.device)[:, None, None]
    corner = integral[image, bottom, right] + integral[image, top, left]
    return corner - integral[image, top, right] - integral[image, bottom, left]


def box_sensitivity(maps: Tensor, boxes: Tensor, responses: Tensor) -> Tensor:
    """Pearson correlation, over the boxes of one size, of the importance inside a box with the drop of the logit.

    Args:
        maps: (B, H, W).
        boxes: (B, S, M, 4) long, from `draw_boxes`.
        responses: (B, S, M) drops of the explained target, from `box_responses`.
    Returns:
        (B, S) float64 in [−1, 1]; NaN where the sums or the drops are all equal (a constant map).
    Source: Brocki et al. 2024, §3.4.
    """
    sums = box_sums(maps, boxes.to(maps.device))
    magnitude = maps.double().abs().sum((1, 2))[:, None, None]
    sums = sums - sums.mean(-1, keepdim=True)
    drops = responses.to(maps.device).double()
    all_equal = (drops == drops[..., :1]).all(-1)
    drops = drops - drops.mean(-1, keepdim=True)
    scale = sums.norm(dim=-1) * drops.norm(dim=-1)
    # differences of the integral image carry rounding of the whole map's sum: below that a map is constant
    constant = (sums.abs() <= 1e-12 * magnitude).all(-1) | all_equal
    correlation = (sums * drops).sum(-1) / scale
    return torch.where(constant, torch.nan, correlation.clamp(-1, 1))


class BoxSensitivity(Metric):
    """Area under r(h), h the side of the boxes in percent of the image's, and its plain mean.

    Columns, per target: A_box and mean_r; wrong_A_box with the other target's map; delta_A_box = A_box − wrong_A_box.

    Args:
        sizes: sides of the boxes in percent of the image's shorter side, increasing.
        num_boxes: per image and size.
        blur_sigma: of the perturbed copy, in pixels; the paper's 14 is for 224².
    Source: Brocki et al. 2024, §3.4.
    """

    def __init__(
        self, sizes: Sequence[float] = DEFAULT_SIZES, num_boxes: int = 100, blur_sigma: float = PAPER_BLUR_SIGMA
    ) -> None:
        require_count("num_boxes", num_boxes)
        require(num_boxes >= 2, f"num_boxes={num_boxes}: a correlation needs at least 2 boxes")
        listed = isinstance(sizes, Sequence) and not isinstance(sizes, str)
        require(listed, f"sizes={sizes}: give a list, such as [10,20,30]")
        for size in sizes:
            require_number("sizes", size, -LARGEST_COUNT, LARGEST_COUNT)
        increasing = len(sizes) >= 2 and all(a < b for a, b in pairwise(sizes))
        require(increasing, f"sizes={list(sizes)}: give at least 2 sizes, increasing")
        self.sizes, self.num_boxes, self.blur_sigma = (
            [float(size) for size in sizes],
            int(num_boxes),
            require_sigma(blur_sigma),
        )

    def check(self, image_size: tuple[int, int]) -> None:
        box_sides(self.sizes, image_size)

    def columns(self) -> list[Column]:
        unit = "correlation · percent of the image side"
        return [
            Column("A_box", unit=unit, better="high", table="correctness", aspect="faithfulness"),
            Column("mean_r", "mean r", "correlation", "high", table="correctness"),
            Column(
                "delta_A_box",
                "ΔA_box",
                unit,
                "high",
                table="class_discrimination",
                aspect="discrimination",
                note=DELTA_NOTE,
            ),
            Column("wrong_A_box", "A′_box", unit, table="class_discrimination", place=2),
        ]

    def curves(self) -> list[Curve]:
        return [
            Curve(
                "box_r",
                {"ranked_by": [], "size": list(self.sizes), "recorded": []},
                x="size",
                x_label="side of the box (% of the image)",
                y_label="correlation r",
                title="box sensitivity",
                file="box_sensitivity",
            )
        ]

    def prepare(self, subject: Subject) -> dict[str, Tensor]:
        boxes = self._boxes(subject)
        return {
            "box_drops": box_responses(
                subject.backbone, subject.images, boxes, subject.targets, self.blur_sigma, subject.batch_size
            )
        }

    def measure(self, subject: Subject, maps: Tensor) -> Measurement:
        boxes = self._boxes(subject)
        drops = subject.shared["box_drops"].to(maps.device)
        count = maps.shape[1]
        correlations = torch.stack(
            [
                torch.stack([box_sensitivity(maps[:, ranked], boxes, drops[..., k]) for k in range(count)], -1)
                for ranked in range(count)
            ],
            1,
        )  # (B, K maps, S, K recorded)
        x = torch.tensor(self.sizes, dtype=torch.float64, device=maps.device)
        areas = torch.trapezoid(correlations, x, dim=2)  # (B, K, K)
        scores = {}
        for k in range(count):
            prefix = direction(k)
            scores[f"{prefix}A_box"] = areas[:, k, k]
            scores[f"{prefix}mean_r"] = correlations[:, k, :, k].mean(1)
            if count == 2:
                scores[f"{prefix}wrong_A_box"] = areas[:, 1 - k, k]
                scores[f"{prefix}delta_A_box"] = areas[:, k, k] - areas[:, 1 - k, k]
        return Measurement(scores, {"box_r": correlations})

    def _boxes(self, subject: Subject) -> Tensor:
        image_size = (subject.images.shape[-2], subject.images.shape[-1])
        return draw_boxes(subject.seeds, self.sizes, self.num_boxes, image_size).to(subject.images.device)
