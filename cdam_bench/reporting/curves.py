"""Figures of curves, as the metrics declare them: means over images with bands, all methods together or each in its own panel."""

import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cdam_bench.drawing.families import MANY, by_family, line_of
from cdam_bench.drawing.names import display_name
from cdam_bench.drawing.style import WIDTH, styled
from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.reporting.small_multiples import Band, Column, Labels, family_figure, spaced
from cdam_bench.statistics import mean_intervals
from cdam_bench.store.columns import Curve

RIVAL = {"classes": "class", "concepts": "concept", "labels": "label"}  # kind of outputs → what another target is
GAP_COLOURS = ("#B2182B", "#2166AC")


@dataclass(frozen=True)
class Curves:
    """A curve of all finished methods.

    Args:
        curve: what the metric says about it.
        values: estimator → (images, maps, panels, points): with the target's own map and, of two targets, with the other one's.
        title: of the figure.
        maps: what the maps are called.
        note: what the lines and bands are, and which methods are not shown.
    """

    curve: Curve
    values: dict[str, np.ndarray]
    title: str
    maps: tuple[str, ...]
    note: str

    @property
    def x(self) -> list[float]:
        any_values = next(iter(self.values.values()))
        return list(self.curve.axes[self.curve.x]) or list(range(any_values.shape[-1]))

    @property
    def panels(self) -> list[str]:
        """Titles of the panels; one without a title where there are none."""
        values = self.curve.axes.get(self.curve.panels, [""])
        return [str(self.curve.panel_titles.get(str(value), value)) for value in values]


def curve_figures(comparison: Comparison) -> Iterator[tuple[str, Figure]]:
    """Name and figure of every curve that the finished cells have."""
    for curves in curves_of(comparison):
        yield curves.curve.figure, lines_figure(curves)
        if has_gap(curves.curve):
            yield f"{curves.curve.figure}_methods", gap_figure(curves)


def has_gap(curve: Curve) -> bool:
    """Whether a curve also has a figure with a panel per method."""
    return curve.gap and len(curve.axes.get(curve.panels, ())) == 2


def curves_of(comparison: Comparison) -> list[Curves]:
    """The curves that are drawn, in the order of the metrics."""
    stored = {cell.key.estimator: cell.curves()[0] for cell in comparison.complete_cells}
    rival = RIVAL.get(comparison.outputs, "target")
    found = []
    for curve in (curve for own in comparison.declared.curves.values() for curve in own if curve.x):
        values = {name: arranged(curve, arrays[curve.name]) for name, arrays in stored.items() if curve.name in arrays}
        if values:
            maps = ("the target’s own map", f"the other {rival}’s map")[: next(iter(values.values())).shape[1]]
            title = f"{comparison.title}: {curve.title or curve.name}"
            found.append(Curves(curve, values, title, maps, _note(comparison, values)))
    return found


def arranged(curve: Curve, array: np.ndarray) -> np.ndarray:
    """A stored curve → (images, maps, panels, points), of the first target's output.

    Maps: its own and, where there are two targets, the other's. Axes that are none of these are averaged.
    """
    names = ["images", *curve.axes]
    if "recorded" in names:
        array = array.take(0, axis=names.index("recorded"))
        names.remove("recorded")
    kept = ["images", "ranked_by", curve.panels, curve.x]
    for name in [name for name in names if name not in kept]:
        array = array.mean(names.index(name))
        names.remove(name)
    for name in [name for name in kept if name not in names]:
        array = array[..., None]
        names.append(name)
    array = array.transpose([names.index(name) for name in kept])
    return array[:, : 2 if array.shape[1] == 2 else 1]


def _note(comparison: Comparison, values: dict[str, np.ndarray]) -> str:
    """Of how many images the means are, what the bands are, and which cells are left out."""
    images = sorted({len(array) for array in values.values()})
    note = f"Mean over {' or '.join(map(str, images))} images; bands: 95 % bootstrap interval over images."
    if any(np.isnan(array).any() for array in values.values()):
        note += " Images where a value is undefined are left out of it."
    if partial := [cell for cell in comparison.cells if not cell.is_complete]:
        cells = (f"{display_name(one.key.estimator)} ({len(one.scores)} of {one.num_images} images)" for one in partial)
        note += f" Not finished, and not shown: {', '.join(cells)}."
    return note


def lines_figure(curves: Curves) -> Figure:
    """All methods in each panel; of many methods, each family in panels of its own."""
    grid = [(i, j) for i in range(len(curves.maps)) for j in range(len(curves.panels))]
    columns = [
        Column(_panel_title(curves, i, j), {name: band(values[:, i, j]) for name, values in curves.values.items()})
        for i, j in grid
    ]
    if len(curves.values) <= MANY:
        return _together(curves, columns)
    curve = curves.curve
    labels = Labels(curves.title, curve.x_label or curve.x, curve.y_label or curve.name, curves.note)
    return family_figure(columns, curves.x, labels)


def _together(curves: Curves, columns: list[Column]) -> Figure:
    """All methods in each panel: a row per map, a column per panel of the curve; side by side where there is but one."""
    width = len(curves.panels) if len(curves.panels) > 1 else len(curves.maps)
    rows = len(columns) // width
    with styled():
        figure = Figure(figsize=(WIDTH if width > 1 else 0.75 * WIDTH, 1.75 + 2.75 * rows), layout="constrained")
        panels = figure.subplots(rows, width, sharex=True, sharey=True, squeeze=False)
        for axes, column in zip(panels.flat, columns, strict=True):
            for place, (estimator, band) in enumerate(column.bands.items()):
                line = {**line_of(estimator, curves.values), "markevery": spaced(len(curves.x), place)}
                _draw(axes, curves.x, band, display_name(estimator), markersize=4, **line)
            axes.set_title(column.title, loc="left")
        for axes in panels.flat:
            _zero_line(axes)
        _label(panels, curves)
        _entitle(figure, curves.title)
        _legend_below(figure, panels[0, 0], 3 if width > 1 else 2, curves.note)
    return figure


def gap_figure(curves: Curves) -> Figure:
    """One panel per method with both panels' curves, the gap between them shaded; broken lines are the other map's."""
    many = len(curves.values) > MANY
    order = [name for own in by_family(curves.values).values() for name in own] if many else list(curves.values)
    columns = min(4 if many else 2, len(order))
    rows = math.ceil(len(order) / columns)
    with styled():
        figure = Figure(figsize=(WIDTH, 1.8 + (1.35 if many else 1.7) * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, estimator in zip(panels.flat, order, strict=False):
            _gap(axes, curves, curves.values[estimator])
            axes.set_title(display_name(estimator), loc="left", fontsize=9 if many else 10.5)
        for axes in panels.flat[len(order) :]:
            axes.set_visible(False)
        _label(panels, curves)
        _entitle(figure, f"{curves.title}, by method")
        _legend_below(figure, panels[0, 0], 1 if len(curves.maps) > 1 else 2, curves.note)
    return figure


def _gap(axes: Axes, curves: Curves, values: np.ndarray) -> None:
    """One method's panel, values (images, maps, 2, points)."""
    bands = [band(values[:, 0, j]) for j in (0, 1)]
    for j, (name, colour) in enumerate(zip(curves.panels, GAP_COLOURS, strict=True)):
        label = f"{name}, {curves.maps[0]}" if len(curves.maps) > 1 else name
        _draw(axes, curves.x, bands[j], label, color=colour, linestyle="solid")
        for i, map_name in enumerate(curves.maps[1:], start=1):
            line: dict[str, Any] = {"color": colour, "linestyle": (0, (2, 1.2)), "linewidth": 1.3}
            axes.plot(curves.x, band(values[:, i, j])[0], label=f"{name}, {map_name}", **line)
    axes.fill_between(curves.x, bands[0][0], bands[1][0], color="#999999", alpha=0.18, linewidth=0)


def band(values: np.ndarray) -> Band:
    """Mean and 95 % band of curves (images, points); NaN are left out."""
    intervals = mean_intervals(values)
    mean, low, high = (np.array([getattr(interval, end) for interval in intervals]) for end in ("mean", "low", "high"))
    return mean, low, high


def _draw(axes: Axes, x: list[float], band: Band, label: str, **line: Any) -> None:
    mean, low, high = band
    axes.fill_between(x, low, high, color=line["color"], alpha=0.1, linewidth=0)
    axes.plot(x, mean, label=label, **line)


def _zero_line(axes: Axes) -> None:
    """Where zero is, if it is among the values shown."""
    low, high = axes.get_ylim()
    if low < 0 < high:
        axes.axhline(0, color="#888888", linewidth=0.8, zorder=1)


def _label(panels: np.ndarray, curves: Curves) -> None:
    """Limits of x, its label under the lowest panel of each column, and that of y on the left."""
    for axes in panels.flat:
        axes.set_xlim(min(curves.x), max(curves.x))
    for axes in panels[:, 0]:
        axes.set_ylabel(curves.curve.y_label or curves.curve.name)
    for column in panels.T:
        lowest = [axes for axes in column if axes.get_visible()][-1]
        lowest.tick_params(labelbottom=True)
        lowest.set_xlabel(curves.curve.x_label or curves.curve.x)


def _entitle(figure: Figure, title: str) -> None:
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")


def _legend_below(figure: Figure, axes: Axes, columns: int, note: str) -> None:
    handles, labels = axes.get_legend_handles_labels()
    wrapped = textwrap.fill(note, int(14 * figure.get_figwidth()))
    place = {"loc": "outside lower center", "ncols": columns, "title": wrapped, "title_fontsize": 9.5}
    style = {"frameon": False, "fontsize": 10, "handlelength": 2.6, "columnspacing": 1.6}
    figure.legend(handles, labels, **place, **style)


def _panel_title(curves: Curves, i: int, j: int) -> str:
    """Panel j with map i; only what tells the panels apart."""
    panel, which = curves.panels[j], curves.maps[i]
    if len(curves.maps) == 1:
        return panel
    return f"{panel}\nwith {which}" if panel else which[:1].upper() + which[1:]
