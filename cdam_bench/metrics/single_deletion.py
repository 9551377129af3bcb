"""Single deletion: does the importance of a cell predict how far the logit drops when this cell alone is deleted?"""

import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.computing.blur import require_sigma
from cdam_bench.computing.micro_batches import MicroBatch
from cdam_bench.metrics.base import DELTA_NOTE, Measurement, Metric, Subject, per_target
from cdam_bench.metrics.cells import cell_drops, cell_sums, grid_cells, rank_correlation
from cdam_bench.metrics.fills import Scene, filled, require_fill
from cdam_bench.metrics.perturbation import DEFAULT_BATCH_SIZE, PAPER_BLUR_SIGMA, check_maps
from cdam_bench.store.columns import Column

NOTE = (
    "Single deletion: Spearman's correlation, over the cells of a grid, of the map's sum with the logit's drop when the cell is "
    "deleted."
)


def single_deletion(
    backbone: Backbone,
    images: Tensor,
    maps: Tensor,
    targets: Tensor,
    grid: int = 4,
    fill: str | Tensor = "mean",
    blur_sigma: float = PAPER_BLUR_SIGMA,
    batch_size: int | MicroBatch = DEFAULT_BATCH_SIZE,
) -> Tensor:
    """Spearman's correlation of the importance in a cell with the drop of the target's logit without it.

    Args:
        backbone: whose logits are recorded.
        images: (B, 3, H, W), normalised.
        maps: (B, H, W).
        targets: (B,) long.
        grid: cells per side.
        fill: what a deleted cell is replaced by: a name, as in `perturbation_curves`, or images (B, 3, H, W).
        blur_sigma: in pixels, of fill="blur".
        batch_size: images in one forward pass; grid² + 1 passes per image.
    Returns:
        (B,) float64 in [−1, 1]; NaN for a map, or a logit, that is the same for all cells.
    Raises:
        UserError: for a grid, a fill or shapes that cannot be.
    Source: Hesse et al. 2023, "FunnyBirds" (the single deletion protocol, there over parts of a bird).
    """
    images, maps = images.to(backbone.device), maps.to(backbone.device)
    check_maps(maps, images)
    cells = grid_cells(grid, (images.shape[-2], images.shape[-1])).to(images.device)
    count = grid * grid
    scene = Scene(images, blur_sigma, normalisation=getattr(backbone, "preprocessing", None))
    every = cells.expand(len(images), 1, -1, -1)
    targets = targets.to(images.device)[:, None]
    drops = cell_drops(backbone, images, targets, every, count, filled(fill, scene), batch_size)
    return rank_correlation(cell_sums(maps, cells, count), drops[:, 0, :, 0])


class SingleDeletion(Metric):
    """Spearman's correlation of the importance in the cells of a grid with the logit's drops when each is deleted alone.

    Columns, per target: single_deletion; with two targets wrong_single_deletion, with the other target's map, and
    delta_single_deletion, their difference. The drops are shared by all estimators of a dataset and backbone.

    Args:
        grid: cells per side; grid² + 1 forward passes per image, whatever the number of estimators.
        fill: what a deleted cell is replaced by, see fills.py. The network must know such images, or the drop is that of an input
            it never saw.
        blur_sigma: in pixels, of fill="blur".
    Source: Hesse et al. 2023, "FunnyBirds".
    """

    def __init__(self, grid: int = 4, fill: str = "mean", blur_sigma: float = PAPER_BLUR_SIGMA) -> None:
        grid_cells(grid, (grid, grid))
        self.grid, self.fill, self.blur_sigma = grid, require_fill(fill), require_sigma(blur_sigma)

    def check(self, image_size: tuple[int, int]) -> None:
        grid_cells(self.grid, image_size)

    def columns(self) -> list[Column]:
        unit = "rank correlation"
        return [
            Column(
                "single_deletion",
                "single deletion",
                unit,
                "high",
                table="deletion",
                title="Deleting one part at a time",
                aspect="faithfulness",
                note=NOTE,
            ),
            Column(
                "delta_single_deletion", "Δ single deletion", unit, "high", table="deletion", note=DELTA_NOTE, place=1
            ),
        ]

    def prepare(self, subject: Subject) -> dict[str, Tensor]:
        cells = self._cells(subject).expand(len(subject.images), 1, -1, -1)
        drops = cell_drops(
            subject.backbone,
            subject.images,
            subject.targets,
            cells,
            self.grid**2,
            filled(self.fill, subject.scene(self.blur_sigma)),
            subject.batch_size,
        )
        return {"cell_drops": drops[:, 0]}  # (B, cells, K)

    def measure(self, subject: Subject, maps: Tensor) -> Measurement:
        cells = self._cells(subject)
        drops = subject.shared["cell_drops"].to(maps.device)
        count = maps.shape[1]
        sums = torch.stack([cell_sums(maps[:, k], cells, self.grid**2) for k in range(count)], 1)  # (B, K, cells)
        return Measurement(per_target("single_deletion", rank_correlation(sums[:, :, None], drops.mT[:, None])))

    def _cells(self, subject: Subject) -> Tensor:
        return grid_cells(self.grid, (subject.images.shape[-2], subject.images.shape[-1])).to(subject.images.device)
