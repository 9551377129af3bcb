"""Compactness: the share of an importance map that is close to zero."""

from torch import Tensor

from cdam_bench.errors import require_number
from cdam_bench.metrics.base import Measurement, Metric, Subject, direction
from cdam_bench.store.columns import Column


def compactness(maps: Tensor, threshold: float = 0.05) -> Tensor:
    """Share of pixels with |S| ≤ threshold · max|S|.

    Args:
        maps: importance maps (B, H, W), any scale, signed or not.
        threshold: fraction of the map's largest magnitude.
    Returns:
        (B,) shares in [0, 1]; 1 for an all-zero map.
    Source: Brocki et al. 2024, §3.4.
    """
    magnitude = maps.abs().flatten(1)  # (B, H·W)
    return (magnitude <= threshold * magnitude.amax(1, keepdim=True)).float().mean(1)


class Compactness(Metric):
    """Compactness of the map for each target.

    Args:
        threshold: fraction of the map's largest magnitude that still counts as zero.
    """

    def __init__(self, threshold: float = 0.05) -> None:
        self.threshold = require_number("threshold", threshold, 0, 1)

    def columns(self) -> list[Column]:
        note = "Share of pixels near zero. Neither high nor low is better in itself, so none is marked."
        return [Column("compactness", unit="share of the pixels", table="compactness", note=note, paired=True)]

    def measure(self, subject: Subject, maps: Tensor) -> Measurement:
        per_target = [compactness(target_maps, self.threshold) for target_maps in maps.unbind(1)]
        return Measurement(scores={f"{direction(k)}compactness": values for k, values in enumerate(per_target)})
