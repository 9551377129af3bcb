"""A figure of curves of many methods: a row of panels for each family, the other methods in light grey behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cdam_bench.drawing.families import by_family, line_of
from cdam_bench.drawing.layout import LARGE, LINE, NORMAL, SMALL, Sheet, text_width, wrapped
from cdam_bench.drawing.names import display_name
from cdam_bench.drawing.style import WIDTH, styled

LEFT, RIGHT, GAP = 0.68, 0.16, 0.2  # inches: room for the axis of y, at the right edge, between panels
TALL, BETWEEN = 1.1, 0.14  # height of a panel; below each row
BEHIND = "#d4d4d4"
Band = tuple[np.ndarray, np.ndarray, np.ndarray]  # mean, low, high along the axis


@dataclass(frozen=True)
class Column:
    """A column of panels.

    Args:
        title: above the first of them.
        bands: estimator → its curve.
    """

    title: str
    bands: dict[str, Band]


@dataclass(frozen=True)
class Labels:
    """The texts of a figure of curves; a title and a note that are empty take no room."""

    title: str
    x: str
    y: str
    note: str


def family_figure(
    columns: Sequence[Column],
    x: list[float],
    labels: Labels,
    limits: tuple[float, float] | None = None,
    tall: float = TALL,
) -> Figure:
    """Rows: families; columns as given, of the same methods. All panels share their axes.

    Args:
        columns: from the left.
        x: where the points of the curves are.
        labels: of the figure.
        limits: of y; None: what holds all curves.
        tall: height of a panel in inches.
    """
    families = by_family(columns[0].bands)
    side = (WIDTH - LEFT - RIGHT + GAP) / len(columns)
    titles = [wrapped(column.title, side - GAP / 2, SMALL) for column in columns]
    note = wrapped(labels.note, WIDTH - 0.2, SMALL)
    keys = [_Key(names, list(columns[0].bands)) for names in families.values()]
    limits = limits or limits_of(columns)
    head = (0.44 if labels.title else 0.12) + LINE * max(title.count("\n") + 1 for title in titles)
    x_label = wrapped(labels.x, side - GAP, SMALL)
    foot = 0.42 + LINE * (x_label.count("\n") + len(note.splitlines()) + 1)
    height = head + sum(key.height + tall + BETWEEN for key in keys) + foot
    with styled():
        sheet = Sheet(WIDTH, height)
        sheet.write(0.08, labels.title, 0.28, LARGE, fontweight="bold")
        sheet.used = head
        for j, title in enumerate(titles):
            sheet.write(LEFT + j * side, title, -0.07, SMALL, linespacing=1.1)
        for key, (name, members) in zip(keys, families.items(), strict=True):
            key.draw(sheet, name)
            row = [sheet.figure.add_axes(sheet.place(LEFT + j * side, side - GAP, tall)) for j in range(len(columns))]
            for axes, column in zip(row, columns, strict=True):
                _fill(axes, x, column, members)
                axes.set_ylim(*limits)
                axes.tick_params(labelbottom=key is keys[-1], labelleft=axes is row[0])
                if key is keys[-1]:
                    axes.set_xlabel(x_label, fontsize=SMALL)
            sheet.used += tall + BETWEEN
        middle = (head + height - foot) / 2
        sheet.figure.text(0.1 / WIDTH, 1 - middle / height, labels.y, rotation=90, va="center", fontsize=NORMAL)
        sheet.used = height - LINE * (note.count("\n") + 1) - 0.08
        sheet.write(WIDTH / 2, note, 0, SMALL, va="top", ha="center")
    return sheet.figure


class _Key:
    """Names of a family's lines, above its panels."""

    def __init__(self, names: list[str], among: list[str]) -> None:
        self.lines = {display_name(name): line_of(name, among) for name in names}
        widest = max(text_width(name, SMALL) for name in self.lines)
        self.columns = max(1, min(len(names), int((WIDTH - LEFT) / (widest + 0.62))))

    @property
    def height(self) -> float:
        return LINE + 0.03 + (LINE + 0.01) * ceil(len(self.lines) / self.columns) + 0.06

    def draw(self, sheet: Sheet, family: str) -> None:
        """Put it onto the sheet, which is filled that far then."""
        sheet.write(LEFT, family, 0.02, SMALL, va="top", fontweight="bold")
        handles = [Line2D([], [], label=name, markersize=4, **line) for name, line in self.lines.items()]
        place: dict[str, Any] = {
            "loc": "upper left",
            "bbox_to_anchor": (LEFT / sheet.width, 1 - (sheet.used + LINE) / sheet.height),
            "ncols": self.columns,
        }
        style: dict[str, Any] = {"frameon": False, "fontsize": SMALL, "handlelength": 2.6, "columnspacing": 1.2}
        sheet.figure.legend(handles=handles, borderpad=0.1, borderaxespad=0.1, labelspacing=0.25, **place, **style)
        sheet.used += self.height


def _fill(axes: Axes, x: list[float], column: Column, members: list[str]) -> None:
    """One panel: the members with their bands, all others behind."""
    for name, (mean, _, _) in column.bands.items():
        if name not in members:
            axes.plot(x, mean, color=BEHIND, linewidth=0.8, zorder=1.5)
    for place, name in enumerate(members):
        mean, low, high = column.bands[name]
        line = line_of(name, column.bands)
        axes.fill_between(x, low, high, color=line["color"], alpha=0.1, linewidth=0)
        axes.plot(x, mean, label=display_name(name), markersize=3.5, markevery=spaced(len(x), place), **line)
    axes.set_xlim(min(x), max(x))


def spaced(points: int, place: int) -> tuple[int, int]:
    """First point with a marker and the step to the next: about five along a line, elsewhere for the next line."""
    step = max(1, points // 5)
    return place % step, step


def limits_of(columns: Sequence[Column]) -> tuple[float, float]:
    """Of y, for all panels."""
    lows, highs = zip(*((low, high) for column in columns for _, low, high in column.bands.values()), strict=True)
    low, high = float(np.nanmin(lows)), float(np.nanmax(highs))
    room = 0.05 * (high - low) or 1.0
    return low - room, high + room
