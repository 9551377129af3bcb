"""The figure of cost: class discrimination of every method against what its maps cost, with the Pareto front."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from cdam_bench.drawing.families import FAMILIES, OTHERS, family_of, line_of
from cdam_bench.drawing.layout import LARGE, LINE, NORMAL, SMALL, Sheet, wrapped
from cdam_bench.drawing.names import display_name
from cdam_bench.drawing.point_labels import Point, label_points
from cdam_bench.drawing.style import WIDTH, styled
from cdam_bench.errors import UserError
from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.reporting.layout import headlines
from cdam_bench.statistics import Interval, mean_intervals
from cdam_bench.store.columns import Column

ASPECT = "discrimination"
LEFT, RIGHT, TALL, ABOVE, BELOW = 0.72, 0.1, 3.3, 0.34, 0.5  # inches around a panel and its height
FRONT = "#444444"


@dataclass(frozen=True)
class Speed:
    """What `cdam-bench measure speed` wrote.

    Args:
        backbone: name of the configuration it was measured on; "": of none, but of a bare network.
        network: in words.
        ratios: estimator → times a forward pass.
    """

    backbone: str
    network: str
    ratios: dict[str, float]


@dataclass(frozen=True)
class Cost:
    """What the maps of some methods cost.

    Args:
        name: of the figure.
        label: of the axis, with the unit.
        values: estimator → cost.
        note: how it was measured.
    """

    name: str
    label: str
    values: dict[str, float]
    note: str


def read_speeds(folder: Path) -> list[Speed]:
    """All speed*.json of a folder, in the order of their names.

    Raises:
        UserError: for one that cannot be read.
    """
    found = []
    for path in sorted(folder.glob("speed*.json")):
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            settings = report["settings"]
            ratios = {str(name): float(row["ratio"]) for name, row in report["explanations"].items()}
            network = f"{settings['architecture']} at {settings['image_size']}²"
            found.append(Speed(str(settings.get("backbone") or ""), network, ratios))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path} is not what `cdam-bench measure speed` writes: delete it, or measure again"
            ) from error
    return found


def cost_figures(comparison: Comparison, speeds: list[Speed]) -> Iterator[tuple[str, Figure]]:
    """Name and figure of every cost that two or more finished cells have; none where no score is of class discrimination."""
    columns = headlines(comparison, ASPECT)
    for cost in costs_of(comparison, speeds) if columns else ():
        if len(cost.values) > 1:
            yield cost.name, cost_figure(comparison, columns, cost)


def cost_captions(comparison: Comparison) -> dict[str, str]:
    """Name of every figure of cost that a comparison may have → what it shows."""
    if not headlines(comparison, ASPECT):
        return {}
    what = f"Class discrimination, mean over {comparison.counts} images with its 95 % bootstrap interval over images, against"
    front = "Line: no other method is both cheaper and better (by the means)."
    return {
        "cost": f"{what} the seconds that the maps of an image take. {front}",
        "cost_passes": f"{what} the cost of a map in forward passes. {front}",
    }


def costs_of(comparison: Comparison, speeds: list[Speed]) -> list[Cost]:
    """Seconds, as the cells kept them, and forward passes, where a speed report is there."""
    cells = {cell.key.estimator: cell for cell in comparison.complete_cells}
    seconds = {
        name: float(cell.description["explaining"]["seconds_per_image"])
        for name, cell in cells.items()
        if "explaining" in cell.description
    }
    devices = dict.fromkeys(str(cells[name].description.get("device", "")) for name in seconds)
    note = f"Seconds: all targets of an image together, median over chunks, on {' or '.join(devices)}."
    if untimed := [display_name(name) for name in cells if name not in seconds]:
        note += f" Not shown, as no time of their maps was kept: {', '.join(untimed)}."
    found = [Cost("cost", "seconds per image", seconds, note)]
    own = [speed for speed in speeds if speed.backbone == comparison.backbone]
    for speed in (own or [speed for speed in speeds if not speed.backbone])[:1]:
        ratios = {name: speed.ratios[name] for name in cells if name in speed.ratios}
        note = f"Forward passes: for one target, timed beside plain forward passes of {speed.network}."
        if untimed := [display_name(name) for name in cells if name not in ratios]:
            note += f" Not timed, and not shown: {', '.join(untimed)}."
        found.append(Cost("cost_passes", "forward passes", ratios, note))
    return found


def cost_figure(comparison: Comparison, columns: list[Column], cost: Cost) -> Figure:
    """A panel for every score, from the top; costs on a logarithmic axis.

    Args:
        comparison: whose complete cells are shown.
        columns: the scores.
        cost: of the methods shown.
    """
    cells = [cell for cell in comparison.complete_cells if cell.key.estimator in cost.values]
    values = np.stack([comparison.values(cell, [column.name for column in columns]) for cell in cells], 1)
    intervals = mean_intervals(values.reshape(len(values), -1))  # of (images, methods · columns)
    names = [cell.key.estimator for cell in cells]
    note = f"Mean over {comparison.counts} images; bars: 95 % bootstrap interval over images. {cost.note}"
    note = wrapped(note, WIDTH - 0.2, SMALL)
    foot = 0.2 + 3 * (LINE + 0.02) + LINE * (note.count("\n") + 1)
    with styled():
        sheet = Sheet(WIDTH, 0.36 + len(columns) * (ABOVE + TALL + BELOW) + foot)
        sheet.write(0.08, f"{comparison.title}: class discrimination and cost", 0.28, LARGE, fontweight="bold")
        sheet.used = 0.36
        for j, column in enumerate(columns):
            sheet.used += ABOVE
            axes = sheet.figure.add_axes(sheet.place(LEFT, WIDTH - LEFT - RIGHT, TALL))
            own = dict(zip(names, intervals[j :: len(columns)], strict=True))
            _panel(axes, column, cost, {name: one for name, one in own.items() if np.isfinite(one.mean)})
            sheet.used += TALL + BELOW
        _legend(sheet, names)
        sheet.used = sheet.height - LINE * (note.count("\n") + 1) - 0.08
        sheet.write(WIDTH / 2, note, 0, SMALL, va="top", ha="center")
    return sheet.figure


def pareto_front(costs: dict[str, float], scores: dict[str, float]) -> list[str]:
    """Those than which no other is both cheaper and better (or as cheap and better, or as good and cheaper), cheapest first.

    Args:
        costs: name → cost.
        scores: name → score, high is good.
    """
    front: list[str] = []
    for name in sorted(scores, key=lambda name: (costs[name], -scores[name])):
        if not front or scores[name] > scores[front[-1]]:
            front.append(name)
    return front


def _panel(axes: Axes, column: Column, cost: Cost, intervals: dict[str, Interval]) -> None:
    """One score against cost."""
    axes.set_xscale("log")
    for name, interval in intervals.items():
        line, x = line_of(name, intervals), cost.values[name]
        axes.plot([x, x], [interval.low, interval.high], color=line["color"], linewidth=1.2, zorder=2)
        axes.plot(x, interval.mean, line["marker"], color=line["color"], markersize=5.5, zorder=3)
    scores = {name: (column.sign or 1) * interval.mean for name, interval in intervals.items()}
    front = [(cost.values[name], intervals[name].mean) for name in pareto_front(cost.values, scores)]
    corners = [(right, low) for (_, low), (right, _) in pairwise(front)]
    bends = [point for pair in zip_longest(front, corners) for point in pair if point is not None]
    axes.plot(*zip(*bends, strict=True), color=FRONT, linewidth=1.0, zorder=1.6)
    shown = [cost.values[name] for name in intervals]
    axes.set_xlim(min(shown) / 1.8, max(shown) * 2.6)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(y=0.12)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    if low < 0 < high:
        axes.axhline(0, color="#888888", linewidth=0.8, zorder=1)
    arrow = {"high": " ↑", "low": " ↓", "": ""}[column.better]
    axes.set_title(column.text + arrow, loc="left", fontsize=NORMAL, fontweight="bold", parse_math=False)
    axes.set_ylabel(column.unit, fontsize=SMALL, parse_math=False)
    axes.set_xlabel(cost.label, fontsize=SMALL)
    points = [
        Point(display_name(name), cost.values[name], one.mean, one.low, one.high, family_of(name).shades[2])
        for name, one in intervals.items()
    ]
    level = ((min(shown) / 1.8, 0.0), (max(shown) * 2.6, 0.0))
    label_points(axes, points, [*pairwise(bends), *([level] if low < 0 < high else [])])


def _legend(sheet: Sheet, names: list[str]) -> None:
    """The families, and the front."""
    there = {family_of(name).name for name in names}
    handles = [
        Line2D([], [], linestyle="none", marker=family.marker, color=family.shades[0], label=family.name)
        for family in (*FAMILIES, OTHERS)
        if family.name in there
    ]
    handles.append(Line2D([], [], color=FRONT, linewidth=1.0, label="Pareto front"))
    sheet.figure.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 1 - (sheet.used - 0.05) / sheet.height),
        ncols=3,
        frameon=False,
        fontsize=SMALL,
    )
