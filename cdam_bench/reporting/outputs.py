"""Tables of outputs that are quantities: the scores of every output's maps, outputs in columns, a table per score."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cdam_bench.reporting.comparisons import Comparison, write_pages
from cdam_bench.reporting.formats import WILSON, format_interval, format_number, row_name
from cdam_bench.reporting.intervals import interval_words, proportions, score_intervals
from cdam_bench.reporting.layout import layout
from cdam_bench.reporting.markdown import markdown_rows
from cdam_bench.statistics import mean_intervals
from cdam_bench.store.columns import Column

TARGET = re.compile(r"target\d*|other")  # columns of scores.csv with the names of the outputs explained


def write_outputs(comparisons: list[Comparison], output_dir: Path) -> list[Path]:
    """Write <dataset>/<backbone>/outputs.md for every comparison whose outputs are quantities.

    Args:
        comparisons: from `read_comparisons`.
        output_dir: created if need be; pages of these comparisons that no longer hold are removed.
    Returns:
        The files written.
    """
    return write_pages(comparisons, output_dir, "outputs", _pages)


def _pages(comparison: Comparison) -> dict[str, str]:
    if comparison.outputs != "quantities":
        return {}
    return {"outputs.md": f"## {comparison.title}: maps of each output\n\n{outputs_markdown(comparison)}"}


@dataclass(frozen=True)
class OutputTable:
    """A score of every output's maps, as text.

    Args:
        caption: what it shows.
        heading, rows: estimators in rows, outputs in columns.
    """

    caption: str
    heading: list[str]
    rows: list[list[str]]


def outputs_markdown(comparison: Comparison) -> str:
    """A table for every headline of an aspect and every score that methods are compared in."""
    note, tables = output_tables(comparison)
    parts = [note]
    for table in tables:
        rule = ["---", *["---:"] * (len(table.heading) - 1)]
        parts.append(f"{table.caption}\n\n{markdown_rows([table.heading, rule, *table.rows])}")
    return "\n\n".join(parts) + "\n"


def output_tables(comparison: Comparison) -> tuple[str, list[OutputTable]]:
    """What all tables have in common, in words, and the tables: one for each score that is shown."""
    frame = comparison.cells[0].scores
    outputs = [name for name in frame if TARGET.fullmatch(name)]
    names = [str(frame[name].iloc[0]) for name in outputs]  # every image has all of them, in the same order
    prefixes = ["", *(f"{name}_" for name in outputs[1:])]  # of scores.csv's columns, see `metrics.base.direction`
    measured = set(comparison.measured)
    columns = [column for own in layout(comparison).values() for column in own]
    shown = [column for column in columns if column.aspect or column.is_compared]
    of_each = [column for column in shown if all(f"{prefix}{column.name}" in measured for prefix in prefixes)]
    values = {
        column.name: np.stack(
            [comparison.values(cell, [f"{prefix}{column.name}" for prefix in prefixes]) for cell in comparison.cells], 1
        )
        for column in of_each
    }  # name of a score → (images, cells, outputs)
    shares = any(proportions([column] * len(prefixes), values[column.name]).any() for column in of_each)
    brackets = interval_words(shares, WILSON)
    start = f"Mean over {comparison.counts} images [{brackets}]. Where a unit says “logit”, it is that of the output."
    tables = []
    for column in of_each:
        found = score_intervals([column] * len(prefixes), values[column.name])
        rows = [
            [row_name(cell), *(format_interval(interval, column.decimals) for interval in intervals)]
            for cell, intervals in zip(comparison.cells, found, strict=True)
        ]
        tables.append(OutputTable(_heading(column), ["Estimator", *names], rows))
    return " ".join([start, *_about_images(comparison, columns)]), tables


def _heading(column: Column) -> str:
    """What a table shows."""
    unit = f" ({column.unit})" if column.unit else ""
    return f"{column.heading}{unit}." + (f" {column.note}" if column.note else "")


def _about_images(comparison: Comparison, columns: list[Column]) -> list[str]:
    """Sentences on scores that say something about the images alone: all estimators have the same, as of the masks' area."""
    sentences = []
    for column in columns:
        values = [comparison.values(cell, [column.name]) for cell in comparison.complete_cells]
        alone = f"other_{column.name}" not in comparison.measured
        if alone and not column.is_compared and values and all(np.array_equal(values[0], one, True) for one in values):
            mean = format_number(mean_intervals(values[0])[0].mean, column.decimals)
            sentences.append(f"{column.text.capitalize()}: {mean} ({column.unit}). {column.note}".strip())
    return sentences
