"""Which interval a score gets: Wilson's and Tango's where an image counts yes or no, else a bootstrap."""

from collections.abc import Callable, Sequence

import numpy as np

from cdam_bench.statistics import RESAMPLES, Interval, mean_intervals, tango_intervals, wilson_intervals
from cdam_bench.store.columns import Column

BOOTSTRAP = f"percentile-bootstrap interval over images, {RESAMPLES} resamples"

Intervals = Callable[[np.ndarray], list[Interval]]


def score_intervals(columns: Sequence[Column], values: np.ndarray) -> list[list[Interval]]:
    """Means with their intervals.

    Args:
        columns: the scores.
        values: (images, methods, scores); NaN where one is unknown.
    Returns:
        One list per method, an Interval per score.
    """
    return _by_kind(proportions(columns, values), values, wilson_intervals)


def difference_intervals(columns: Sequence[Column], values: np.ndarray, reference: np.ndarray) -> list[list[Interval]]:
    """Mean differences on the same images with their intervals.

    Args:
        columns: the scores.
        values: (images, methods, scores); NaN where one is unknown.
        reference: (images, scores), what is subtracted from them.
    Returns:
        One list per method, an Interval per score.
    """
    both = np.concatenate([values, reference[:, None]], axis=1)
    return _by_kind(proportions(columns, both), values - reference[:, None], tango_intervals)


def proportions(columns: Sequence[Column], values: np.ndarray) -> np.ndarray:
    """Which scores are proportions: (scores,) bool.

    Those that say so in their unit and stay in [0, 1]; of those that say no unit, what is 0, 1 or ½ everywhere, and both 0 and 1
    somewhere.
    """
    return np.array([_is_proportion(column, values[..., j]) for j, column in enumerate(columns)], dtype=bool)


def _is_proportion(column: Column, values: np.ndarray) -> bool:
    found = np.unique(values[np.isfinite(values)])
    if column.is_proportion:
        return bool(((found >= 0) & (found <= 1)).all())
    return not column.unit and bool(np.isin(found, [0, 0.5, 1]).all()) and bool(np.isin([0, 1], found).all())


def _by_kind(are_proportions: np.ndarray, values: np.ndarray, of_proportions: Intervals) -> list[list[Interval]]:
    images, methods, scores = values.shape
    found: dict[int, list[Interval]] = {}  # score → an interval per method
    for kind, wanted in ((of_proportions, are_proportions), (mean_intervals, ~are_proportions)):
        chosen = np.flatnonzero(wanted)
        flat = kind(values[..., chosen].reshape(images, methods * len(chosen))) if len(chosen) else []
        found |= {int(j): flat[place :: len(chosen)] for place, j in enumerate(chosen)}
    return [[found[j][i] for j in range(scores)] for i in range(methods)]


def interval_words(any_proportion: bool, of_proportions: str) -> str:
    """What the brackets of a table are; `of_proportions` names the interval of its proportions."""
    shares = f"; of shares of the images {of_proportions} instead" if any_proportion else ""
    return f"95 % {BOOTSTRAP}{shares}"
