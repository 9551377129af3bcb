"""The figure of scores: a panel for every column that methods are compared in, a dot with its interval for every method."""

import math
import textwrap
from itertools import accumulate

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cdam_bench.drawing.families import MANY, by_family, line_of
from cdam_bench.drawing.style import WIDTH, styled
from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.reporting.formats import WILSON, row_name
from cdam_bench.reporting.intervals import proportions, score_intervals
from cdam_bench.reporting.layout import compared
from cdam_bench.statistics import Interval
from cdam_bench.store.columns import Column
from cdam_bench.store.results import CellResult

PANELS_PER_ROW = 3
ARROWS = {"high": " →", "low": " ←", "": ""}


def score_figure(comparison: Comparison) -> Figure | None:
    """All scores of a comparison at a glance; None if methods are compared in none."""
    columns = compared(comparison)
    if not columns:
        return None
    values = np.stack([comparison.values(cell, [one.name for one in columns]) for cell in comparison.cells], 1)
    intervals = score_intervals(columns, values)  # method by method
    width = min(PANELS_PER_ROW, len(columns))
    rows = math.ceil(len(columns) / width)
    with styled():
        cells = _ordered(comparison)
        height = 0.85 + rows * (0.95 + 0.19 * len(comparison.cells))
        figure = Figure(figsize=(WIDTH if width > 1 else 0.75 * WIDTH, height), layout="constrained")
        panels = figure.subplots(rows, width, sharey=True, squeeze=False)
        for j, (axes, column) in enumerate(zip(panels.flat, columns, strict=False)):
            own = [of_method[j] for of_method in intervals]
            _panel(axes, cells, column, [own[comparison.cells.index(cell)] for cell in cells])
        for axes in panels.flat[len(columns) :]:
            axes.set_visible(False)
        figure.suptitle(f"{comparison.title}: scores", x=0.01, ha="left", fontsize=11, fontweight="bold")
        note = f"Mean over {comparison.counts} images with its 95 % bootstrap interval over images; arrows: the good direction."
        if proportions(columns, values).any():
            note += f" Of shares of the images: {WILSON}."
        if any(not cell.is_complete for cell in comparison.cells):
            note += " Hollow: not finished."
        figure.supxlabel("\n".join(textwrap.wrap(note, 105)), fontsize=9.5)
    return figure


def _ordered(comparison: Comparison) -> list[CellResult]:
    """The cells from the top; many of them family by family."""
    if len(comparison.cells) <= MANY:
        return comparison.cells
    cells = {cell.key.estimator: cell for cell in comparison.cells}
    return [cells[name] for members in by_family(cells).values() for name in members]


def _panel(axes: Axes, cells: list[CellResult], column: Column, intervals: list[Interval]) -> None:
    """One score of all methods, the first on top; families are divided by lines where they stand together."""
    names = [cell.key.estimator for cell in cells]
    for place, (cell, interval) in enumerate(zip(cells, intervals, strict=True)):
        line = line_of(cell.key.estimator, names)
        colour, marker = line["color"], line["marker"]
        axes.plot([interval.low, interval.high], [place, place], color=colour, linewidth=1.6, solid_capstyle="butt")
        face = colour if cell.is_complete else "white"
        axes.plot(interval.mean, place, marker, markersize=4.5, color=colour, markerfacecolor=face)
    if len(cells) > MANY:
        for end in accumulate(len(members) for members in by_family(names).values()):
            axes.axhline(end - 0.5, color="#bbbbbb", linewidth=0.7, zorder=1)
    axes.set_yticks(range(len(names)), [row_name(cell) for cell in cells])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.locator_params(axis="x", nbins=4)
    low, high = axes.get_xlim()
    if low < 0 < high:
        axes.axvline(0, color="#888888", linewidth=0.8, zorder=1)
    title = textwrap.fill(column.text + ARROWS[column.better], 24)
    axes.set_title(title, loc="left", fontsize=10, parse_math=False)
    axes.set_xlabel(textwrap.fill(column.unit, 27), fontsize=8.5, parse_math=False)
