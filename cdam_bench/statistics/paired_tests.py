"""Tests of differences on the same images, and the correction for a family of them."""

import numpy as np

from cdam_bench.statistics.resampling import SEED, all_signs, by_count, products, random_signs

FLIPS = 100_000
FLIPS_PER_TEST = 200


def num_flips(tests: int) -> int:
    """Random sign vectors that a family of `tests` tests needs: its smallest possible corrected p-value is then at most 0.005."""
    return max(FLIPS, FLIPS_PER_TEST * tests)


def smallest_p_value(count: int, flips: int) -> float:
    """The smallest p-value that `paired_p_values` can give for `count` differences: 2 of 2ⁿ sign vectors, 1 of the random ones."""
    return min(1.0, 2.0 ** (1 - count)) if 2**count <= flips else 1 / (1 + flips)


def paired_p_values(differences: np.ndarray, flips: int = FLIPS, seed: int = SEED) -> np.ndarray:
    """Two-sided sign-flip randomisation test of every column: is the mean difference zero?

    Exact (all 2ⁿ sign vectors) where that is at most `flips`; else random ones, with the observed one counted among them. Of
    differences between 0 and 1 it is McNemar's exact test, as far as `flips` resolves it.

    Args:
        differences: (n, columns), method A minus method B on each image; NaN pairs are left out.
        flips: number of random sign vectors.
        seed: of the signs.
    Returns:
        (columns,) p-values; 1 for a column without differences.
    Source: Fisher 1935, §21; the observed sample is counted as in Phipson & Smyth 2010.
    """
    differences = np.asarray(differences, dtype=np.float64)
    p_values = np.ones(differences.shape[1])
    for count, columns, kept in by_count(differences):
        observed = np.abs(kept.mean(0))
        # sums in another order differ by rounding: what is equal must count as "at least as extreme"
        threshold = count * (observed - 1e-12 * np.abs(kept).mean(0))
        if 2**count <= flips:
            p_values[columns] = (np.abs(all_signs(count) @ kept) >= threshold).mean(0)
        else:
            extreme = np.zeros(len(columns), dtype=int)
            for sums in products(random_signs, kept, flips, seed):
                extreme += (np.abs(sums, out=sums) >= threshold).sum(0)
            p_values[columns] = (1 + extreme) / (1 + flips)
    return p_values


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down correction: p-values such that rejecting those ≤ α keeps the family-wise error at α.

    Args:
        p_values: one per test of the family, in any shape.
    Returns:
        Adjusted p-values, in the same shape.
    Source: Holm 1979.
    """
    flat = np.asarray(p_values, dtype=np.float64).ravel()
    order = np.argsort(flat, kind="stable")
    factors = len(flat) - np.arange(len(flat))
    adjusted = np.empty_like(flat)
    adjusted[order] = np.minimum(np.maximum.accumulate(flat[order] * factors), 1)
    return adjusted.reshape(np.shape(p_values))
