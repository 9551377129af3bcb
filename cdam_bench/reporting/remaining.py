"""How much of the target's logit is left when everything is perturbed: what fidelity is an area above."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.store.columns import Column, Curve

AXIS = "percent"  # of what is perturbed, from 0 to 100, in the curves of a metric


@dataclass(frozen=True)
class Remaining:
    """The target's logit at both ends of a curve; the same for all methods.

    Args:
        curves: titles of the curves that have these ends.
        start, end: mean logit over images with nothing and with everything perturbed.
    """

    curves: tuple[str, ...]
    start: float
    end: float

    @property
    def share(self) -> float:
        """Of the mean logit, what is left; NaN where there is no positive logit to begin with."""
        return self.end / self.start if self.start > 0 else np.nan


def remaining_logit(comparison: Comparison, columns: Sequence[Column]) -> list[Remaining]:
    """What is left at 100 % of the metrics that these columns are of, from the curves of the first finished method.

    Metrics are known by what they declare: curves over an axis "percent" that goes from 0 to 100. Curves with the same ends, such
    as by pixel and by patch, stand together.
    """
    names = {column.name for column in columns}
    wanted = [
        curve
        for metric, own in comparison.declared.columns.items()
        if names & {column.name for column in own}
        for curve in comparison.declared.curves.get(metric, ())
        if [*curve.axes.get(AXIS, [])][:1] == [0] and curve.axes[AXIS][-1] == 100
    ]
    if not wanted or not comparison.complete_cells:
        return []
    arrays, _axes = comparison.complete_cells[0].curves()
    found: dict[tuple[float, float], list[str]] = {}
    for curve in wanted:
        if curve.name in arrays:
            found.setdefault(_ends(curve, arrays[curve.name]), []).append(curve.title or curve.name)
    return [Remaining(tuple(titles), *ends) for ends, titles in found.items()]


def _ends(curve: Curve, array: np.ndarray) -> tuple[float, float]:
    """Mean of (images, *axes) at 0 and at 100 %, of the first target with its own map."""
    ends = (array[(slice(None), *(end if axis == AXIS else 0 for axis in curve.axes))] for end in (0, -1))
    start, end = (round(float(np.nanmean(values.astype(np.float64))), 4) for values in ends)
    return start, end
