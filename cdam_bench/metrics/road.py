"""ROAD: remove the most or the least important pixels, impute them from the others, and watch the target's logit."""

from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.computing.micro_batches import MicroBatch
from cdam_bench.metrics.base import DELTA_NOTE, Measurement, Metric, Subject, per_target
from cdam_bench.metrics.fills import Scene, linearly_imputed
from cdam_bench.metrics.perturbation import DEFAULT_BATCH_SIZE, ORDERS, check_maps, ranked_curves
from cdam_bench.metrics.ranking import ranks_of
from cdam_bench.store.columns import Column

STEPS = 10  # removed shares of 10, 20 … 90 %, as in the source
NOTE = (
    "ROAD: half the mean difference of the logits with the least and with the most important pixels removed, 10 to 90 % of them; "
    "removed pixels are imputed from those left."
)


def road(
    backbone: Backbone,
    images: Tensor,
    maps: Tensor,
    targets: Tensor,
    seeds: Tensor | None = None,
    batch_size: int | MicroBatch = DEFAULT_BATCH_SIZE,
) -> Tensor:
    """Remove and debias: (LeRF − MoRF) / 2, the mean over 10, 20 … 90 % of removed pixels.

    Args:
        backbone: whose logits are recorded.
        images: (B, 3, H, W), normalised.
        maps: (B, H, W).
        targets: (B,) long.
        seeds: (B,) long, one per image, of the imputation's noise; None: all 0.
        batch_size: images in one forward pass; 20 passes per map.
    Returns:
        (B,) float64, in logits; high is good.
    Raises:
        UserError: for shapes that cannot be.
    Source: Rong et al. 2022, "A Consistent and Efficient Evaluation Strategy for Attribution Methods" (there the class's
        probability, here its logit, as in all metrics of this project).
    """
    images, maps = images.to(backbone.device), maps.to(backbone.device)
    check_maps(maps, images)
    scene = Scene(images, 0.0, seeds)
    return _differences(backbone, scene, maps[:, None], targets.to(images.device)[:, None], batch_size)[:, 0, 0]


def _differences(
    backbone: Backbone, scene: Scene, maps: Tensor, targets: Tensor, batch_size: int | MicroBatch
) -> Tensor:
    """(LeRF − MoRF) / 2 of maps (B, R, H, W) for targets (B, K): (B, R, K) float64."""
    fill = linearly_imputed(scene)
    curves = ranked_curves(backbone, scene.images, ranks_of(maps), ORDERS, STEPS, fill, targets, batch_size)
    most, least = curves[..., 1:-1, :].double().mean(-2).unbind(2)  # (B, R, 2 orders, steps + 1, K) → each (B, R, K)
    return (least - most) / 2


class Road(Metric):
    """ROAD, see `road`.

    Columns, per target: road; with two targets wrong_road, with the other target's map, and delta_road, their difference.
    20 forward passes per image and target, for every estimator.

    Source: Rong et al. 2022, "A Consistent and Efficient Evaluation Strategy for Attribution Methods".
    """

    def columns(self) -> list[Column]:
        return [
            Column("road", "ROAD", "logit", "high", table="deletion", aspect="faithfulness", note=NOTE, place=4),
            Column("delta_road", "Δ ROAD", "logit", "high", table="deletion", note=DELTA_NOTE, place=5),
        ]

    def measure(self, subject: Subject, maps: Tensor) -> Measurement:
        scene = Scene(subject.images, 0.0, subject.seeds)
        found = _differences(subject.backbone, scene, maps, subject.targets, subject.batch_size)
        return Measurement(per_target("road", found))
