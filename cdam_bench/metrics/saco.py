"""SaCo: do more salient groups of pixels influence the logit more, in proportion to how much more salient they are?"""

import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.computing.blur import require_sigma
from cdam_bench.computing.micro_batches import MicroBatch
from cdam_bench.errors import require, require_count
from cdam_bench.metrics.base import DELTA_NOTE, Measurement, Metric, Subject, per_target
from cdam_bench.metrics.cells import cell_drops, cell_sums
from cdam_bench.metrics.fills import Scene, filled, require_fill
from cdam_bench.metrics.perturbation import DEFAULT_BATCH_SIZE, PAPER_BLUR_SIGMA, check_maps
from cdam_bench.metrics.ranking import ranks_of
from cdam_bench.store.columns import Column

NOTE = (
    "SaCo: pairs of equal groups of pixels, weighted by their difference in importance: those whose drops are in that order, less "
    "the others."
)


def saco(
    backbone: Backbone,
    images: Tensor,
    maps: Tensor,
    targets: Tensor,
    groups: int = 10,
    fill: str | Tensor = "mean",
    blur_sigma: float = PAPER_BLUR_SIGMA,
    batch_size: int | MicroBatch = DEFAULT_BATCH_SIZE,
) -> Tensor:
    """Salience-guided faithfulness coefficient.

    Pixels are sorted by their importance and cut into equal groups; each group is replaced alone. A pair of groups counts its
    difference in importance: for the map, if the more important one lowers the logit at least as much, else against it.

    Args:
        backbone: whose logits are recorded.
        images: (B, 3, H, W), normalised.
        maps: (B, H, W).
        targets: (B,) long.
        groups: of pixels; groups + 1 forward passes per map.
        fill: what a group is replaced by: a name, as in `perturbation_curves`, or images (B, 3, H, W).
        blur_sigma: in pixels, of fill="blur".
        batch_size: images in one forward pass.
    Returns:
        (B,) float64 in [−1, 1]; NaN for a constant map.
    Raises:
        UserError: for groups, a fill or shapes that cannot be.
    Source: Wu et al. 2024, "On the Faithfulness of Vision Transformer Explanations" (there the class's probability drops, here
        its logit, as in all metrics of this project).
    """
    images, maps = images.to(backbone.device), maps.to(backbone.device)
    check_maps(maps, images)
    scene = Scene(images, blur_sigma, normalisation=getattr(backbone, "preprocessing", None))
    cells = salience_groups(maps[:, None], groups)
    drops = cell_drops(
        backbone, images, targets.to(images.device)[:, None], cells, groups, filled(fill, scene), batch_size
    )
    return coefficient(_importance(maps[:, None], cells, groups)[:, 0], drops[:, 0, :, 0])


def salience_groups(maps: Tensor, groups: int) -> Tensor:
    """Which of the equal groups each pixel of maps (…, H, W) is in, 0 the most important ones; ties by the pixel's index: long."""
    pixels = maps.shape[-2] * maps.shape[-1]
    require(2 <= require_count("groups", groups) <= pixels, f"groups={groups}: use 2 to {pixels}")
    return (ranks_of(maps) * groups // pixels).reshape(maps.shape)


def _importance(maps: Tensor, cells: Tensor, groups: int) -> Tensor:
    """Mean importance of maps (B, K, H, W) in their groups: (B, K, groups). Groups may differ by a pixel, so no sums."""
    flat, index = maps.flatten(0, 1), cells.flatten(0, 1)
    means = cell_sums(flat, index, groups) / cell_sums(torch.ones_like(flat), index, groups)
    return means.reshape(*maps.shape[:2], groups)


def coefficient(importance: Tensor, drops: Tensor) -> Tensor:
    """SaCo of the groups' mean importance (…, G), the most important first, and the logit's drops (…, G): (…,) float64."""
    importance, drops = importance.double(), drops.double()
    first, second = torch.triu_indices(importance.shape[-1], importance.shape[-1], 1, device=importance.device)
    weights = importance[..., first] - importance[..., second]
    agrees = drops[..., first] >= drops[..., second]
    total = weights.abs().sum(-1)
    varies = total > 1e-12 * importance.abs().sum(-1)  # below that a map is constant, but for the rounding of its sums
    signed = torch.where(agrees, weights, -weights).sum(-1)
    return torch.where(varies, signed / total, torch.nan)


class SaCo(Metric):
    """Salience-guided faithfulness coefficient, see `saco`.

    Columns, per target: saco; with two targets wrong_saco, with the other target's map, and delta_saco, their difference.

    Args:
        groups: of pixels; groups forward passes per target, and one.
        fill: what a group is replaced by, see fills.py.
        blur_sigma: in pixels, of fill="blur".
    Source: Wu et al. 2024, "On the Faithfulness of Vision Transformer Explanations".
    """

    def __init__(self, groups: int = 10, fill: str = "mean", blur_sigma: float = PAPER_BLUR_SIGMA) -> None:
        require(require_count("groups", groups) >= 2, f"groups={groups}: use at least 2")
        self.groups, self.fill, self.blur_sigma = groups, require_fill(fill), require_sigma(blur_sigma)

    def columns(self) -> list[Column]:
        unit = "coefficient in [−1, 1]"
        return [
            Column("saco", "SaCo", unit, "high", table="deletion", aspect="faithfulness", note=NOTE, place=2),
            Column("delta_saco", "Δ SaCo", unit, "high", table="deletion", note=DELTA_NOTE, place=3),
        ]

    def measure(self, subject: Subject, maps: Tensor) -> Measurement:
        cells = salience_groups(maps, self.groups)  # (B, K, H, W)
        drops = cell_drops(
            subject.backbone,
            subject.images,
            subject.targets,
            cells,
            self.groups,
            filled(self.fill, subject.scene(self.blur_sigma)),
            subject.batch_size,
        )  # (B, K maps, groups, K recorded)
        importance = _importance(maps, cells, self.groups)
        return Measurement(per_target("saco", coefficient(importance[:, :, None], drops.mT)))
