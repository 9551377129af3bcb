"""Figures as wide as a paper's column or page: everything in them grows or shrinks alike."""

from typing import Any

from matplotlib.axis import Axis
from matplotlib.collections import Collection, PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import DrawingArea, PackerBase
from matplotlib.patches import Patch
from matplotlib.text import Text

INCH = 2.54  # cm


def fitted(figure: Figure, width_cm: float) -> Figure:
    """The figure at another width, as if a printer had enlarged it: letters, lines, markers and keys keep their proportions.

    Args:
        figure: of any width; it is changed.
        width_cm: of the page.
    """
    factor = width_cm / INCH / figure.get_figwidth()
    ticks = {axis: _tick_style(axis) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)}
    for artist in figure.findobj():
        _scale(artist, factor)
    for axis, style in ticks.items():  # those of ticks to come, too
        sizes: dict[str, Any] = {name: factor * value for name, value in style.items()}
        axis.set_tick_params(which="major", **sizes)
        axis.labelpad *= factor
    figure.set_size_inches(factor * figure.get_figwidth(), factor * figure.get_figheight())
    return figure


def _tick_style(axis: Axis) -> dict[str, float]:
    """Sizes of an axis' major ticks, in points."""
    tick: Any = axis.get_major_ticks(1)[0]  # matplotlib's types say that it has no pad
    return {
        "labelsize": float(tick.label1.get_fontsize()),
        "length": float(tick.tick1line.get_markersize()),
        "width": float(tick.tick1line.get_markeredgewidth()),
        "pad": float(tick.get_pad()),
        "grid_linewidth": float(tick.gridline.get_linewidth()),
    }


def _scale(artist: Any, factor: float) -> None:
    """One artist alone, without those in it."""
    match artist:
        case Text():
            artist.set_fontsize(factor * artist.get_fontsize())
        case Line2D():
            artist.set_linewidth(factor * artist.get_linewidth())
            artist.set_markersize(factor * artist.get_markersize())
            artist.set_markeredgewidth(factor * artist.get_markeredgewidth())
        case Patch():
            artist.set_linewidth(factor * artist.get_linewidth())
        case Collection():
            artist.set_linewidth([factor * width for width in artist.get_linewidth()])
            if isinstance(artist, PathCollection):
                artist.set_sizes(factor**2 * artist.get_sizes())
        case PackerBase():  # of a key: what stands between its parts
            artist.pad, artist.sep = factor * (artist.pad or 0), factor * (artist.sep or 0)
        case DrawingArea():  # of a key: a line with its marker
            artist.width, artist.height = factor * artist.width, factor * artist.height
            artist.xdescent, artist.ydescent = factor * artist.xdescent, factor * artist.ydescent
            for line in artist.get_children():
                if isinstance(line, Line2D):
                    line.set_data(*(factor * values for values in line.get_data()))
