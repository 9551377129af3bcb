"""Figures S2 to S7: perturbation curves and box sensitivity, with the right class's map and with the wrong one's."""

from collections.abc import Sequence
from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cdam_bench.drawing.families import MANY, by_family, line_of
from cdam_bench.drawing.layout import LINE, NORMAL, SMALL, Sheet, text_width
from cdam_bench.drawing.names import display_name
from cdam_bench.drawing.style import styled
from cdam_bench.reporting.curves import Curves, band
from cdam_bench.reporting.small_multiples import Band, Column, Labels, family_figure, limits_of, spaced

LEFT, RIGHT, BETWEEN, BELOW, TALL = 0.72, 0.12, 0.34, 0.52, 2.7  # inches around the panels and their height
FAMILY_TALL = 0.55  # of a family's panels: eight rows of them stand on a page
NARROW, WIDE = 4.4, 7.4  # of a figure of one panel, and of two


def curve_figure(curves: Curves, which: int) -> Figure:
    """All methods' curves with one map of two.

    Up to ten methods share their panels; of more each family has panels of its own, the others in grey behind.

    Args:
        curves: of a metric.
        which: 0: with the right class's map; 1: with the wrong one's. Both have the same scale of y.
    """
    every = [columns_of(curves, i) for i in range(len(curves.maps))]
    limits = limits_of([column for columns in every for column in columns])
    if len(curves.values) > MANY:
        labels = Labels("", curves.curve.x_label or curves.curve.x, curves.curve.y_label or curves.curve.name, "")
        return family_figure(every[which], curves.x, labels, limits, FAMILY_TALL)
    return _together(curves, every[which], limits)


def columns_of(curves: Curves, which: int) -> list[Column]:
    """A column per panel of the curve."""
    return [
        Column(title, {name: band(values[:, which, j]) for name, values in curves.values.items()})
        for j, title in enumerate(curves.panels)
    ]


def _together(curves: Curves, columns: Sequence[Column], limits: tuple[float, float]) -> Figure:
    """Panels side by side with all methods, which are named below."""
    names = [name for members in by_family(curves.values).values() for name in members]
    width = NARROW if len(columns) == 1 else WIDE
    above = 0.3 if any(column.title for column in columns) else 0.1
    side = (width - LEFT - RIGHT + BETWEEN) / len(columns)
    widest = max(text_width(display_name(name), SMALL) for name in names)
    across = max(1, min(len(names), int((width - 0.1) / (widest + 0.62))))
    with styled():
        sheet = Sheet(width, above + TALL + BELOW + (LINE + 0.02) * ceil(len(names) / across) + 0.03)
        sheet.used = above
        for j, column in enumerate(columns):
            axes = sheet.figure.add_axes(sheet.place(LEFT + j * side, side - BETWEEN, TALL))
            _fill(axes, curves.x, column, names)
            axes.set_ylim(*limits)
            axes.tick_params(labelleft=j == 0)
            axes.set_xlabel(curves.curve.x_label or curves.curve.x, fontsize=NORMAL)
        first = sheet.figure.axes[0]
        first.set_ylabel(curves.curve.y_label or curves.curve.name, fontsize=NORMAL)
        sheet.used = above + TALL + BELOW
        _key(sheet, first, across)
    return sheet.figure


def _fill(axes: Axes, x: list[float], column: Column, names: list[str]) -> None:
    """One panel."""
    for place, name in enumerate(names):
        _draw(axes, x, column.bands[name], name, place, names)
    if axes.get_ylim()[0] < 0 < axes.get_ylim()[1]:
        axes.axhline(0, color="#888888", linewidth=0.8, zorder=1)
    axes.set_xlim(min(x), max(x))
    axes.set_title(column.title, loc="left", fontsize=NORMAL)


def _draw(axes: Axes, x: list[float], curve: Band, name: str, place: int, names: list[str]) -> None:
    mean, low, high = curve
    line = line_of(name, names)
    axes.fill_between(x, low, high, color=line["color"], alpha=0.1, linewidth=0)
    axes.plot(x, mean, label=display_name(name), markersize=4, markevery=spaced(len(x), place), **line)


def _key(sheet: Sheet, axes: Axes, across: int) -> None:
    """Names of the lines, column by column, family by family."""
    handles, names = axes.get_legend_handles_labels()
    sheet.figure.legend(
        handles,
        names,
        loc="upper center",
        bbox_to_anchor=(0.5, 1 - (sheet.used - 0.03) / sheet.height),
        ncols=across,
        frameon=False,
        fontsize=SMALL,
        handlelength=3.0,
        columnspacing=1.0,
        labelspacing=0.3,
        borderpad=0.1,
        borderaxespad=0.1,
    )
