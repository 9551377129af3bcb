"""Means over images with bootstrap intervals, and paired tests between methods measured on the same images.

Both resample by matrix products: one matrix of resampling weights, or of signs, serves every column with equally many values.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

CONFIDENCE = 0.95
RESAMPLES = 5000
SEED = 0
BLOCK = 2**23  # entries of one resampling matrix: 64 MB


@dataclass(frozen=True)
class Interval:
    """A mean with its interval.

    Args:
        mean: of the values that are not NaN; NaN if there are none.
        low, high: ends of the interval; NaN below two values.
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
    counts = np.isfinite(values).sum(0)
    means, low, high = (np.full(values.shape[1], np.nan) for _ in range(3))
    for count in np.unique(counts[counts > 0]).tolist():
        columns = np.flatnonzero(counts == count)
        kept = _without_nan(values[:, columns], count)
        means[columns] = kept.mean(0)
        if count < 2:
            continue
        resampled = _blockwise(_bootstrap_weights, kept - means[columns], resamples, seed)  # (resamples, columns)
        tail = (1 - confidence) / 2
        ends = np.quantile(np.ascontiguousarray(resampled.T), [tail, 1 - tail], axis=1, overwrite_input=True)
        low[columns], high[columns] = ends + means[columns]
    return [Interval(*map(float, row[:3]), int(row[3])) for row in zip(means, low, high, counts, strict=True)]


def rank_correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's correlation of every row of `first` with the same row of `second`.

    Args:
        first, second: (rows, methods); ties share their mean rank.
    Returns:
        (rows,) in [−1, 1]; NaN where a row is constant or holds a NaN.
    Source: Spearman 1904.
    """
    ranks = [_ranks(np.asarray(values, dtype=np.float64)) for values in (first, second)]
    first_ranks, second_ranks = (values - values.mean(1, keepdims=True) for values in ranks)
    scale = np.linalg.norm(first_ranks, axis=1) * np.linalg.norm(second_ranks, axis=1)
    with np.errstate(invalid="ignore"):
        return np.where(scale > 0, (first_ranks * second_ranks).sum(1) / scale, np.nan)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Rank of every value in its row, 1 the smallest; ties share their mean rank, NaN stay NaN. Without either: no pandas."""
    order = values.argsort(axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    if not (ordered[:, 1:] > ordered[:, :-1]).all():
        return pd.DataFrame(values).rank(axis=1).to_numpy()
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, np.arange(1.0, values.shape[1] + 1)[None], axis=1)
    return ranks


def agreement_of_means(
    first: np.ndarray,
    second: np.ndarray,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """Do two scores order the methods alike? Spearman's correlation of the methods' means, over methods.

    The interval resamples images, the same ones for both scores and all methods, and ranks the methods anew each time: it says how
    much the order depends on the images, not on which methods are compared. Where means are close, their order is chance, which
    pulls resampled correlations towards zero.

    Args:
        first, second: (images, methods), two scores of the same images; NaN are left out of a method's mean.
        confidence, resamples, seed: as in `mean_intervals`.
    Returns:
        The correlation with its percentile-bootstrap interval; NaN for fewer than three methods. `count` is the number of methods.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    methods = first.shape[1]
    if methods < 3:
        return Interval(np.nan, np.nan, np.nan, methods)
    both = np.concatenate([first, second], axis=1)
    known = np.isfinite(both)
    sums = _blockwise(_bootstrap_weights, np.where(known, both, 0), resamples, seed)
    with np.errstate(invalid="ignore"):
        # the weights of a resample add up to one
        means = sums if known.all() else sums / _blockwise(_bootstrap_weights, known.astype(float), resamples, seed)
        observed = np.where(known, both, 0).sum(0) / known.sum(0)
    (correlation,) = rank_correlations(observed[None, :methods], observed[None, methods:])
    resampled = rank_correlations(means[:, :methods], means[:, methods:])
    resampled = resampled[np.isfinite(resampled)]
    if len(first) < 2 or not len(resampled):
        return Interval(float(correlation), np.nan, np.nan, methods)
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(float(correlation), float(low), float(high), methods)


def paired_p_values(differences: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """Two-sided sign-flip randomisation test of every column: is the mean difference zero?

    Exact (all 2ⁿ sign vectors) where that is at most `resamples`; else random ones, with the observed one counted among them.

    Args:
        differences: (n, columns), method A minus method B on each image; NaN pairs are left out.
        resamples: number of random sign vectors.
        seed: of the signs.
    Returns:
        (columns,) p-values; 1 for a column without differences.
    Source: Fisher 1935, §21; the observed sample is counted as in Phipson & Smyth 2010.
    """
    differences = np.asarray(differences, dtype=np.float64)
    counts = np.isfinite(differences).sum(0)
    p_values = np.ones(differences.shape[1])
    for count in np.unique(counts[counts > 0]).tolist():
        columns = np.flatnonzero(counts == count)
        kept = _without_nan(differences[:, columns], count)
        observed = np.abs(kept.mean(0))
        # sums in another order differ by rounding: what is equal must count as "at least as extreme"
        threshold = observed - 1e-12 * np.abs(kept).mean(0)
        if 2**count <= resamples:
            extreme = (np.abs(_all_signs(count) @ kept) / count >= threshold).mean(0)
        else:
            flipped = np.abs(_blockwise(_random_signs, kept, resamples, seed)) / count
            extreme = (1 + (flipped >= threshold).sum(0)) / (1 + resamples)
        p_values[columns] = extreme
    return p_values


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down correction: p-values such that rejecting those ≤ α keeps the family-wise error at α.

    Args:
        p_values: (m,), one per test of the family.
    Returns:
        (m,) adjusted p-values, in the same order.
    Source: Holm 1979.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return adjusted


def _without_nan(values: np.ndarray, count: int) -> np.ndarray:
    """Columns with `count` finite values each → (count, columns), in order."""
    return values.T[np.isfinite(values).T].reshape(-1, count).T


def _blockwise(
    matrix: Callable[[int, int, int, int], np.ndarray], values: np.ndarray, resamples: int, seed: int
) -> np.ndarray:
    """Resampling matrix (resamples, n) @ values (n, columns), a block of its rows at a time."""
    count = len(values)
    rows = max(1, BLOCK // count)
    sizes = [min(rows, resamples - start) for start in range(0, resamples, rows)]
    products = np.empty((resamples, values.shape[1]))
    for block, size in enumerate(sizes):
        np.matmul(matrix(count, size, seed, block), values, out=products[block * rows : block * rows + size])
    return products


@lru_cache(maxsize=4)
def _bootstrap_weights(count: int, rows: int, seed: int, block: int) -> np.ndarray:
    """(rows, count): how often each resample draws each value, divided by count."""
    draws = np.random.default_rng([seed, count, block]).integers(count, size=(rows, count))
    draws += np.arange(rows)[:, None] * count
    return np.bincount(draws.ravel(), minlength=rows * count).reshape(rows, count) / count


@lru_cache(maxsize=4)
def _random_signs(count: int, rows: int, seed: int, block: int) -> np.ndarray:
    """(rows, count) of −1 and 1."""
    return 1.0 - 2.0 * np.random.default_rng([seed, count, block]).integers(2, size=(rows, count), dtype=np.int8)


def _all_signs(count: int) -> np.ndarray:
    """All sign vectors: (2ⁿ, n)."""
    return 1.0 - 2.0 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
