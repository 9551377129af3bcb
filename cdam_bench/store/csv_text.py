"""Text of CSV files: the same on every machine."""

import csv
import io
from collections.abc import Iterable, Sequence

from cdam_bench.statistics import Interval


def csv_text(heading: Sequence[str], rows: Iterable[Iterable[str | float | Interval]]) -> str:
    """A heading and rows; an Interval fills four columns (mean, low, high, count)."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(heading)
    for row in rows:
        writer.writerow([part for field in row for part in _fields(field)])
    return buffer.getvalue()


def _fields(field: str | float | Interval) -> list[str]:
    if isinstance(field, Interval):
        return [*map(digits, (field.mean, field.low, field.high)), str(field.count)]
    return [field] if isinstance(field, str) else [digits(field)]


def digits(value: float) -> str:
    """Seven digits: more would differ between machines by rounding."""
    return f"{value:.7g}"
