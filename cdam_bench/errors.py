"""UserError: a mistake the user can mend, told in one line."""

import difflib
import math
from collections.abc import Iterable
from numbers import Real


class UserError(Exception):
    """Bad input: one line that says what is wrong with which file or key, and what to do.

    `python -m cdam_bench` and the scripts print it without a traceback and exit with status 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def nearest_names(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The `count` names in `known` most like `name`, best first; empty when none is close."""
    by_lower = {k.lower(): k for k in known}
    return [by_lower[m] for m in difflib.get_close_matches(name.lower(), by_lower, count, cutoff=0.5)]


def require(condition: bool, message: str) -> None:
    """Raise UserError(message) unless `condition` holds."""
    if not condition:
        raise UserError(message)


def require_count(key: str, value: object) -> int:
    """`value` as a number of things, or UserError: it must be a positive whole number."""
    whole = _is_number(value) and math.isfinite(value) and value == int(value)
    require(whole and value > 0, f"{key}={value}: must be a positive whole number")
    return int(value)


def require_number(key: str, value: object, low: float = 0.0, high: float = float("inf")) -> float:
    """`value` as a number in [low, high], or UserError."""
    allowed = "must not be negative" if (low, high) == (0, float("inf")) else f"must be between {low:g} and {high:g}"
    require(_is_number(value) and low <= value <= high, f"{key}={value}: {allowed}")
    return float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
