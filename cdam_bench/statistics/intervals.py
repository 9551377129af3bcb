"""Bootstrap intervals: of means, and of standardised mean differences."""

from dataclasses import dataclass

import numpy as np

from cdam_bench.statistics.resampling import SEED, by_count, resampled

CONFIDENCE = 0.95
RESAMPLES = 5000


@dataclass(frozen=True)
class Interval:
    """A mean, or another estimate, with its interval.

    Args:
        mean: of the values that are not NaN; NaN if there are none.
        low, high: ends of the interval; NaN where the values do not tell (a bootstrap of fewer than two).
        count: values that are not NaN.
    """

    mean: float
    low: float
    high: float
    count: int


def mean_intervals(
    values: np.ndarray, confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = SEED
) -> list[Interval]:
    """Mean of every column with its percentile-bootstrap interval; NaN are left out.

    Args:
        values: (n, columns), a row per image.
        confidence: share of the resampled means inside the interval.
        resamples: number of bootstrap samples.
        seed: of the resampling; it and the number of values decide which images a resample draws.
    Returns:
        One Interval per column.
    Source: Efron & Tibshirani 1993, §13.3.
    """
    values = np.asarray(values, dtype=np.float64)
    means, low, high = (np.full(values.shape[1], np.nan) for _ in range(3))
    for count, columns, kept in by_count(values):
        means[columns] = kept.mean(0)
        if count < 2:
            continue
        ends = percentiles(resampled(kept - means[columns], resamples, seed), confidence)
        low[columns], high[columns] = ends + means[columns]
    return intervals(means, low, high, values)


def standardised_intervals(
    differences: np.ndarray, confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = SEED
) -> list[Interval]:
    """Cohen's d_z of every column, mean difference / standard deviation of the differences, with its percentile-bootstrap interval.

    Args:
        differences: (n, columns), method A minus method B on each image; NaN pairs are left out.
        confidence, resamples, seed: as in `mean_intervals`; the same images are drawn.
    Returns:
        One Interval per column; NaN where all differences are equal, so that nothing can be measured in their deviations.
    Source: Cohen 1988, §2.3.5; Lakens 2013 for the name.
    """
    differences = np.asarray(differences, dtype=np.float64)
    effects, low, high = (np.full(differences.shape[1], np.nan) for _ in range(3))
    for count, columns, kept in by_count(differences):
        if count < 2:
            continue
        centre = kept.mean(0)
        deviations = kept - centre
        variance = (deviations**2).sum(0) / (count - 1)
        vary = variance > (1e-9 * centre) ** 2
        columns, centre, deviations, variance = columns[vary], centre[vary], deviations[:, vary], variance[vary]
        shift = resampled(deviations, resamples, seed)
        spread = (resampled(deviations**2, resamples, seed) - shift**2) * count / (count - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            # a resample of equal differences has no d_z, except that of nothing
            drawn = np.where(spread > 1e-12 * variance, (shift + centre) / np.sqrt(np.maximum(spread, 0)), np.nan)
        drawn[(np.abs(shift + centre) <= 1e-9 * np.sqrt(variance)) & np.isnan(drawn)] = 0
        effects[columns] = centre / np.sqrt(variance)
        low[columns], high[columns] = percentiles(drawn, confidence)
    return intervals(effects, low, high, differences)


def percentiles(drawn: np.ndarray, confidence: float) -> np.ndarray:
    """Ends of the percentile interval of every column: (resamples, columns) → (2, columns); NaN are left out."""
    tail = (1 - confidence) / 2
    by_column = np.ascontiguousarray(drawn.T)
    quantile = np.nanquantile if np.isnan(by_column).any() else np.quantile
    return quantile(by_column, [tail, 1 - tail], axis=1)


def intervals(means: np.ndarray, low: np.ndarray, high: np.ndarray, values: np.ndarray) -> list[Interval]:
    """One Interval per column of `values`, from its estimates and ends."""
    counts = np.isfinite(values).sum(0)
    return [Interval(*map(float, row[:3]), int(row[3])) for row in zip(means, low, high, counts, strict=True)]
