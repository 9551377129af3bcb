"""How much of the target's logit is left when everything is perturbed: what fidelity is an area above."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.store.columns import Column, Curve, Declared

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

    Curves with the same ends, such as by pixel and by patch, stand together.
    """
    names = {column.name for column in columns}
    metrics = [metric for metric, own in comparison.declared.columns.items() if names & {column.name for column in own}]
    wanted = whole_curves(comparison.declared, metrics)
    if not wanted or not comparison.complete_cells:
        return []
    ends = comparison.complete_cells[0].ends(wanted, AXIS)
    found: dict[tuple[float, float], list[str]] = {}
    for curve in wanted:
        if curve.name in ends:
            start, end = ends[curve.name]
            found.setdefault((round(start, 4), round(end, 4)), []).append(curve.title or curve.name)
    return [Remaining(tuple(titles), *both) for both, titles in found.items()]


def whole_curves(declared: Declared, metrics: Iterable[str]) -> list[Curve]:
    """The curves of these metrics along which everything is perturbed: over an axis "percent" from 0 to 100."""
    curves = [curve for metric in metrics for curve in declared.curves.get(metric, ())]
    return [curve for curve in curves if [*curve.axes.get(AXIS, [])][:1] == [0] and curve.axes[AXIS][-1] == 100]
