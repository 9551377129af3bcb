"""Do two scores order the methods alike? Rank correlations, with intervals that resample images and methods."""

from statistics import NormalDist

import numpy as np
import pandas as pd

from cdam_bench.statistics.intervals import CONFIDENCE, RESAMPLES, Interval
from cdam_bench.statistics.proportions import quantile_of
from cdam_bench.statistics.resampling import SEED, bootstrap_weights, resampled

FEWEST_METHODS = 3
PER_IMAGE_RESAMPLES = 1000  # each ranks the methods anew on every image
ENTRIES = 2**22  # of the ranks held at once


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
    """Spearman's correlation of the methods' means, over methods.

    The interval is of a two-way bootstrap: every resample draws images, the same ones for both scores and all methods, and,
    independently, methods, so that it says how much the agreement depends on either. Bias-corrected, because means that are close
    change places in a resample, which pulls its correlation towards zero.

    Args:
        first, second: (images, methods), two scores of the same images; NaN are left out of a method's mean.
        confidence, resamples, seed: as in `mean_intervals`.
    Returns:
        The correlation with its interval; NaN for fewer than three methods, no ends where every resample agrees as completely as
        the sample. `count` is the number of methods.
    Source: Owen 2007, "The pigeonhole bootstrap", for the two ways; Efron 1981 for the correction.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    methods = first.shape[1]
    if methods < FEWEST_METHODS:
        return Interval(np.nan, np.nan, np.nan, methods)
    both = np.concatenate([first, second], axis=1)
    known = np.isfinite(both)
    sums = resampled(np.where(known, both, 0), resamples, seed)
    with np.errstate(invalid="ignore"):
        # the weights of a resample add up to one
        means = sums if known.all() else sums / resampled(known.astype(float), resamples, seed)
        observed = np.where(known, both, 0).sum(0) / known.sum(0)
    (correlation,) = rank_correlations(observed[None, :methods], observed[None, methods:])
    drawn = _drawn_methods(methods, resamples, seed)
    own, other = (np.take_along_axis(part, drawn, axis=1) for part in (means[:, :methods], means[:, methods:]))
    low, high = _bias_corrected(rank_correlations(own, other), correlation, confidence)
    return Interval(float(correlation), low, high, methods)


def agreement_per_image(
    first: np.ndarray,
    second: np.ndarray,
    confidence: float = CONFIDENCE,
    resamples: int = PER_IMAGE_RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """Mean over images of Spearman's correlation over methods on one image.

    Args:
        first, second: (images, methods), two scores of the same images; images where one is NaN, or equal for all methods, are left
            out.
        confidence, resamples, seed: of the two-way bootstrap, as in `agreement_of_means`.
    Returns:
        The mean with its interval; NaN for fewer than three methods. `count` is the number of images.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    images = np.isfinite(rank_correlations(first, second))
    count, methods = int(images.sum()), first.shape[1]
    if methods < FEWEST_METHODS or not count:
        return Interval(np.nan, np.nan, np.nan, count)
    first, second = first[images], second[images]
    observed = float(rank_correlations(first, second).mean())
    draws = _drawn_methods(methods, resamples, seed)
    times = np.stack([(draws == method).sum(1) for method in range(methods)], 1).astype(float)  # (resamples, methods)
    weights = bootstrap_weights(count, resamples, seed, 0)
    below = [_below(values) for values in (first, second)]
    step = max(1, ENTRIES // first.size)
    means = [
        _weighted_mean(_weighted_correlations(*below, times[rows]), weights[rows])
        for rows in (slice(start, start + step) for start in range(0, resamples, step))
    ]
    low, high = _bias_corrected(np.concatenate(means), observed, confidence)
    return Interval(observed, low, high, count)


def _drawn_methods(methods: int, resamples: int, seed: int) -> np.ndarray:
    """(resamples, methods): which methods each resample draws."""
    return np.random.default_rng([seed, methods, 1]).integers(methods, size=(resamples, methods))


def _below(values: np.ndarray) -> np.ndarray:
    """(images, methods, methods): 1 where the last axis' method is below the other, ½ where they are equal."""
    return (values[:, :, None] > values[:, None, :]) + 0.5 * (values[:, :, None] == values[:, None, :])


def _weighted_correlations(first: np.ndarray, second: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Spearman's correlations on every image of methods that are drawn `times` (resamples, methods) → (images, resamples).

    Mean ranks follow from how many of the drawn methods are below each one; their mean is half the number of draws.
    """
    centre = times.shape[1] / 2
    own, other = (below @ times.T - centre for below in (first, second))  # (images, methods, resamples)
    drawn = times.T[None]
    covariance = (own * other * drawn).sum(1)
    scale = np.sqrt((own**2 * drawn).sum(1) * (other**2 * drawn).sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(scale > 0, covariance / scale, np.nan)


def _weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Means of (images, resamples) with weights (resamples, images); NaN are left out: (resamples,)."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (np.where(known, values, 0) * weights.T).sum(0) / (known * weights.T).sum(0)


def _bias_corrected(drawn: np.ndarray, observed: float, confidence: float) -> tuple[float, float]:
    """Ends of the bias-corrected percentile interval; NaN where nothing varies."""
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(observed) or not (np.abs(drawn - observed) > 1e-9).any():
        return np.nan, np.nan
    equal = np.abs(drawn - observed) <= 1e-9
    below = ((drawn < observed) & ~equal).mean() + equal.mean() / 2
    normal = NormalDist()
    shift = 2 * normal.inv_cdf(float(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn))))
    z = quantile_of(confidence)
    low, high = np.quantile(drawn, [normal.cdf(shift - z), normal.cdf(shift + z)])
    return float(low), float(high)
