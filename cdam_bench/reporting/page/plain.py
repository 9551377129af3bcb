"""Plain values: numbers as JSON can hold them."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from cdam_bench.statistics import Interval

DIGITS = 7  # of means: more would differ between machines by rounding
FEWER = 5  # of single images and of points of curves, which are many

Plain = dict[str, Any]


def number(value: float, digits: int = DIGITS) -> float | int | None:
    """`value` with so many significant digits; None where it is not finite."""
    if not math.isfinite(value):
        return None
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def numbers(values: Iterable[float] | np.ndarray, digits: int = FEWER) -> list[float | int | None]:
    """The same of each of many."""
    return [number(float(value), digits) for value in values]


def interval_values(interval: Interval) -> Plain:
    """Mean, both ends and count."""
    return {
        **{end: number(float(getattr(interval, end))) for end in ("mean", "low", "high")},
        "n": interval.count,
    }
