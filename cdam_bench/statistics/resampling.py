"""Resampling by matrix products: one matrix of weights, or of signs, serves every column with equally many values."""

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

BLOCK = 2**23  # entries of one resampling matrix: 64 MB
SEED = 0

Matrix = Callable[[int, int, int, int], np.ndarray]  # count, rows, seed, block → (rows, count)


def without_nan(values: np.ndarray, count: int) -> np.ndarray:
    """Columns with `count` finite values each → (count, columns), in order."""
    return values.T[np.isfinite(values).T].reshape(-1, count).T


def by_count(values: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Columns with equally many finite values together: (how many, which columns, their values (count, columns)); none is empty."""
    counts = np.isfinite(values).sum(0)
    for count in np.unique(counts[counts > 0]).tolist():
        columns = np.flatnonzero(counts == count)
        yield count, columns, without_nan(values[:, columns], count)


def resampled(values: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Means of bootstrap samples: values (n, columns) → (resamples, columns)."""
    return np.concatenate(list(products(bootstrap_weights, values, resamples, seed)))


def products(matrix: Matrix, values: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Resampling matrix (resamples, n) @ values (n, columns), a block of its rows at a time."""
    count = len(values)
    rows = max(1, BLOCK // count)
    for block, start in enumerate(range(0, resamples, rows)):
        yield matrix(count, min(rows, resamples - start), seed, block) @ values


@lru_cache(maxsize=4)
def bootstrap_weights(count: int, rows: int, seed: int, block: int) -> np.ndarray:
    """(rows, count): how often each resample draws each value, divided by count."""
    draws = np.random.default_rng([seed, count, block]).integers(count, size=(rows, count))
    draws += np.arange(rows)[:, None] * count
    return np.bincount(draws.ravel(), minlength=rows * count).reshape(rows, count) / count


@lru_cache(maxsize=4)
def random_signs(count: int, rows: int, seed: int, block: int) -> np.ndarray:
    """(rows, count) of −1 and 1."""
    return 1.0 - 2.0 * np.random.default_rng([seed, count, block]).integers(2, size=(rows, count), dtype=np.int8)


@lru_cache(maxsize=2)
def all_signs(count: int) -> np.ndarray:
    """All sign vectors: (2ⁿ, n)."""
    return 1.0 - 2.0 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
