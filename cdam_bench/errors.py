"""UserError: a mistake the user can mend, told in one line; and any other error in one line."""

import difflib
import math
import re
from collections.abc import Iterable
from numbers import Real
from typing import Any


class UserError(Exception):
    """Bad input: one line that says what is wrong with which file or key, and what to do.

    The commands print it without a traceback and exit with status 2. Where it is about one argument, it begins with the argument's
    bare name, `steps=-1: …`; whoever knows the key that the user typed puts what comes before it, as `metric.fidelity.steps=-1: …`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def with_prefix(error: UserError, key: str) -> UserError:
    """The same error; where it begins with an argument's name, `key` and a dot stand before it."""
    message = str(error)
    return UserError(f"{key}.{message}" if re.match(r"[a-z_]+(\.[a-z_]+)*=", message) and key else message)


def nearest_names(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The `count` names in `known` most like `name`, best first; empty when none is close."""
    by_lower = {k.lower(): k for k in known}
    return [by_lower[m] for m in difflib.get_close_matches(name.lower(), by_lower, count, cutoff=0.5)]


RESOLVING = "UserError raised while resolving interpolation: "  # how OmegaConf begins


def one_line(error: BaseException) -> str:
    """What is wrong, in one line, whatever kind of error it is."""
    if isinstance(error, UserError):
        return str(error)
    if (
        type(error).__name__ == "InstantiationException" and error.__cause__ is not None
    ):  # Hydra's, which is slow to import
        where = re.search(r"full_key: (\S+)", str(error))
        reason = one_line(error.__cause__)
        return reason if isinstance(error.__cause__, UserError) or where is None else f"{where[1]}: {reason}"
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith(RESOLVING):  # ours, by a resolver of a configuration
        return lines[0].removeprefix(RESOLVING)
    return "; ".join(lines[:3]) or type(error).__name__


def unknown_name(key: str, name: str, known: Iterable[str]) -> UserError:
    """`key=name is unknown`, with the nearest names and all that there are."""
    known = sorted(known)
    near = nearest_names(name, known)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return UserError(f"{key}={name} is unknown: {hint}available: {', '.join(known)}")


LARGEST_COUNT = 10**9  # of anything: more is a slip, and would fill the memory
LARGEST_WHOLE = 2**63 - 1  # of seeds


def require(condition: bool, message: str) -> None:
    """Raise UserError(message) unless `condition` holds."""
    if not condition:
        raise UserError(message)


def require_count(key: str, value: Any) -> int:
    """`value` as a number of things, or UserError: it must be a positive whole number."""
    whole = _is_number(value) and math.isfinite(value) and value == int(value)
    require(whole and value > 0, f"{key}={value}: must be a positive whole number")
    require(value <= LARGEST_COUNT, f"{key}={value}: is too large, use at most {LARGEST_COUNT}")
    return int(value)


def require_whole(key: str, value: Any) -> int:
    """`value` as a whole number that is not negative, or UserError."""
    whole = _is_number(value) and math.isfinite(value) and value == int(value)
    require(whole and value >= 0, f"{key}={value}: must be a whole number, 0 or more")
    require(value <= LARGEST_WHOLE, f"{key}={value}: is too large, use at most {LARGEST_WHOLE}")
    return int(value)


def require_number(key: str, value: Any, low: float = 0.0, high: float = float("inf")) -> float:
    """`value` as a number in [low, high], or UserError."""
    allowed = "must not be negative" if (low, high) == (0, float("inf")) else f"must be between {low:g} and {high:g}"
    require(_is_number(value) and math.isfinite(value), f"{key}={value}: must be a number, and {allowed}")
    require(low <= value <= high, f"{key}={value}: {allowed}")
    return float(value)


def require_text(key: str, value: Any) -> str:
    """`value` as text that is not empty, or UserError; what looks like a number or a list has to stand in quotes."""
    require(
        isinstance(value, str) and bool(value.strip()), f"{key}={value}: must be text, in quotes where it is a number"
    )
    require(value.isprintable(), f"{key}={value!r}: has characters that cannot be printed")
    return str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
