"""Intervals of proportions and of their differences on the same images: right at 0 and 1, too, where a bootstrap has none."""

from statistics import NormalDist

import numpy as np

from cdam_bench.statistics.intervals import CONFIDENCE, Interval, intervals

BISECTIONS = 50  # of [−1, 1]: to 2e-15


def wilson_intervals(values: np.ndarray, confidence: float = CONFIDENCE) -> list[Interval]:
    """Mean of every column of 0 and 1 with Wilson's score interval; NaN are left out.

    A ½, of a tie, counts half: what varies less than 0 and 1 with the same mean gets an interval that is a little too wide.

    Args:
        values: (n, columns) in [0, 1], a row per image.
        confidence: of the interval.
    Returns:
        One Interval per column.
    Source: Wilson 1927.
    """
    values = np.asarray(values, dtype=np.float64)
    z = quantile_of(confidence)
    count = np.isfinite(values).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.nansum(values, axis=0) / count
        centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
        half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    low, high = np.clip([centre - half, centre + half], 0, 1)
    # at the border the end is the border, not one rounding beside it
    return intervals(share, np.where(share == 0, 0, low), np.where(share == 1, 1, high), values)


def tango_intervals(differences: np.ndarray, confidence: float = CONFIDENCE) -> list[Interval]:
    """Mean of every column of differences between proportions on the same images, with Tango's score interval; NaN are left out.

    Those δ that a score test does not reject: |b − c − nδ| ≤ z √(n (2q + δ(1 − δ))), where b is the sum of the positive
    differences, c that of the negative ones, and q the most likely share of negative ones if δ were true. It is 0 ± z²/(n + z²)
    where all differences are 0. A difference of ½, of a tie, counts half, as in `wilson_intervals`.

    Args:
        differences: (n, columns) in [−1, 1], method A minus method B on each image.
        confidence: of the interval.
    Returns:
        One Interval per column.
    Source: Tango 1998.
    """
    differences = np.asarray(differences, dtype=np.float64)
    count = np.isfinite(differences).sum(0)
    known = np.nan_to_num(differences)
    more, fewer = known.clip(min=0).sum(0), -known.clip(max=0).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (more - fewer) / count
    ends = []
    for border in (-1.0, 1.0):
        inside, outside = np.nan_to_num(mean), np.full(len(mean), border)
        for _ in range(BISECTIONS):
            middle = (inside + outside) / 2
            accepted = _score(middle, more, fewer, count) <= quantile_of(confidence)
            inside, outside = np.where(accepted, middle, inside), np.where(accepted, outside, middle)
        ends.append(np.where(count > 0, inside, np.nan))
    return intervals(mean, *ends, differences)


def _score(delta: np.ndarray, more: np.ndarray, fewer: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Tango's |statistic| of the hypothesis that the difference is `delta`."""
    first = 2 * count
    second = -more - fewer + (2 * count - more + fewer) * delta
    third = -fewer * delta * (1 - delta)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (np.sqrt(np.maximum(second**2 - 4 * first * third, 0)) - second) / (2 * first)
        variance = count * (2 * share + delta * (1 - delta))
        gap = np.abs(more - fewer - count * delta)
        return np.where(gap == 0, 0, gap / np.sqrt(np.maximum(variance, 0)))


def quantile_of(confidence: float) -> float:
    """z such that a normal variable is within ±z with this probability."""
    return NormalDist().inv_cdf((1 + confidence) / 2)
