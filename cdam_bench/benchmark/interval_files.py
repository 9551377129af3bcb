"""Files of means with their intervals: a line each, for machines."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cdam_bench.statistics import Interval
from cdam_bench.store.files import write_atomically


def write_intervals(path: Path, labels: Sequence[str], intervals: Mapping[Any, Interval], mean: str = "mean") -> None:
    """Write a CSV file.

    Args:
        path: of the file.
        labels: headings of the columns that tell the lines apart.
        intervals: tuple of a text for each label → mean, interval and number of images.
        mean: heading of the means.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow((*labels, mean, "low", "high", "n"))
    for names, interval in intervals.items():
        numbers = (f"{value:.7g}" for value in (interval.mean, interval.low, interval.high))
        writer.writerow((*names, *numbers, interval.count))
    write_atomically(path, buffer.getvalue().encode())
