"""The figure of one explained picture: a row per target, a column per estimator; readable on a phone's width."""

import io
import textwrap
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from cdam_bench.drawing.maps import COLOURS, draw_picture, draw_scale
from cdam_bench.drawing.names import display_name
from cdam_bench.errors import UserError, nearest_names, require
from cdam_bench.explaining.targets import Target

if TYPE_CHECKING:
    from cdam_bench.explaining.explanation import Explanation

SCALES, STYLES = ("map", "row"), ("beside", "overlay")
SIDE = 1.75  # inches of a column
TITLE, HEADING, MARGIN = 0.62, 0.36, 0.04  # inches
DPI = 150
FONT = {"font.family": "DejaVu Sans", "font.size": 11, "axes.grid": False}
GREY_LEVEL = 0.75  # an overlay's picture is paled, so that colours stand out


def explanation_figure(
    explanation: "Explanation",
    scale: str = "map",
    clip: float | None = None,
    style: str = "beside",
    colours: str = "RdBu_r",
) -> Figure:
    """Draw an explanation; for the arguments see `Explanation.plot`.

    Raises:
        UserError: for a scale, quantile, style or colour map that cannot be.
    """
    for name, value, allowed in (("scale", scale, SCALES), ("style", style, STYLES)):
        require(value in allowed, f"{name}={value} is unknown: use {' or '.join(allowed)}")
    require(clip is None or 0 < clip <= 1, f"clip={clip}: must be a quantile between 0 and 1, such as 0.99")
    if colours not in colormaps:
        raise UserError(f"colours={colours} is unknown: did you mean {' or '.join(nearest_names(colours, colormaps))}?")
    colour_map = colormaps[colours]
    estimators, targets = list(explanation.maps), explanation.targets
    height, width = explanation.pixels.shape[:2]
    columns, aspect = 1 + len(estimators), height / width
    row_height = HEADING + SIDE * aspect
    caption = textwrap.wrap(caption_of(explanation, scale, clip), int(11.5 * columns * SIDE))
    foot = 0.85 + 0.19 * len(caption)
    size = (columns * SIDE, TITLE + row_height * len(targets) + foot)
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(FONT)
        figure = Figure(figsize=size)

        def panel(row: int, column: int) -> Axes:
            left, top = column * SIDE + MARGIN, TITLE + row * row_height + HEADING + MARGIN
            box = (left, size[1] - top - SIDE * aspect + 2 * MARGIN, SIDE - 2 * MARGIN, SIDE * aspect - 2 * MARGIN)
            return figure.add_axes((box[0] / size[0], box[1] / size[1], box[2] / size[0], box[3] / size[1]))

        def write(x: float, y: float, text: str, **style: str | float) -> None:
            figure.text(x / size[0], 1 - y / size[1], text, **style)

        draw_picture(panel(0, 0), explanation.pixels)
        write(0.5 * SIDE, TITLE - 0.04, "image", ha="center", va="bottom", fontsize=12)
        for column, estimator in enumerate(estimators, 1):
            name = textwrap.fill(display_name(estimator), 12)
            write((column + 0.5) * SIDE, TITLE - 0.04, name, ha="center", va="bottom", fontsize=12, linespacing=1.05)
        for row, target in enumerate(targets):
            maps = [explanation.maps[estimator][target.name] for estimator in estimators]
            middle = TITLE + row * row_height + HEADING / 2 + 0.02
            write(SIDE + MARGIN, middle, heading_of(target), va="center", fontweight="bold", fontsize=12)
            for column, (m, limit) in enumerate(zip(maps, limits(maps, scale, clip), strict=True), 1):
                shown = coloured(m, limit, colour_map)
                draw_picture(
                    panel(row, column), overlay(shown, m, limit, explanation.pixels) if style == "overlay" else shown
                )
        if len(targets) > 1 and explanation.predictions:
            lines = [
                f"{textwrap.shorten(found.name, 13, placeholder='…')}: {100 * found.probability:.0f} %"
                for found in explanation.predictions
            ]
            write(MARGIN, TITLE + row_height + HEADING, "\n".join(["predicted:", *lines]), va="top", linespacing=1.35)
        legend = figure.add_axes((0.18, (foot - 0.3) / size[1], 0.64, 0.16 / size[1]))
        draw_scale(legend)
        if colour_map.name != COLOURS.name:
            legend.images[0].set_data(coloured(np.linspace(-1, 1, 257)[None], 1, colour_map))
        end = "max |S|" if clip is None else f"{100 * clip:g} % quantile"
        legend.set_xticks([-1, 0, 1], [f"counter-evidence\n−{end}", "0", f"evidence\n{end}"], fontsize=10.5)
        figure.text(0.5, 0.08 / size[1], "\n".join(caption), ha="center", va="bottom", fontsize=10, color="#444444")
    return figure


def heading_of(target: Target) -> str:
    """Name of a target with its probability, or a concept's with the similarity."""
    if target.probability is None:
        return f"{target.name} (similarity {target.output:.3g})"
    return f"{target.name} ({100 * target.probability:.0f} %)"


def caption_of(explanation: "Explanation", scale: str, clip: float | None) -> str:
    """How the colours are to be read, and what was done to the picture."""
    height, width = explanation.pixels.shape[:2]
    sentences = ["Each map has a scale of its own." if scale == "map" else "The maps of a row share one scale."]
    if clip is not None:
        sentences.append(f"Clipped: colours end at the {100 * clip:g} % quantile of |S|.")
    sentences.append(f"{height}×{width} pixels.")
    return " ".join([*sentences, *(f"{note[0].upper()}{note[1:]}." for note in explanation.notes)])


def limits(maps: list[np.ndarray], scale: str, clip: float | None) -> list[float]:
    """|S| at which the colours of each map of a row end; 0 for a map of zeros."""
    quantile = 1.0 if clip is None else clip
    ends = [float(np.quantile(np.abs(m), quantile)) for m in maps]
    if scale == "row":
        ends = [float(np.quantile(np.abs(np.stack(maps)), quantile))] * len(maps)
    # sparse maps: a quantile of 0 would turn every other pixel into an extreme
    return [end if end > 0 else float(np.abs(m).max()) for end, m in zip(ends, maps, strict=True)]


def coloured(scores: np.ndarray, limit: float, colour_map: Colormap) -> np.ndarray:
    """Map (H, W) → (H, W, 3) in [0, 1]; ±limit and beyond are the ends of the colours, zero is their middle."""
    share = np.clip(np.asarray(scores, dtype=np.float64) / limit, -1, 1) if limit > 0 else np.zeros_like(scores)
    return colour_map((share + 1) / 2)[..., :3]


def overlay(shown: np.ndarray, scores: np.ndarray, limit: float, pixels: np.ndarray) -> np.ndarray:
    """Colours laid on the grey picture, the stronger the larger |S|: where S is zero the picture is unchanged."""
    strength = np.clip(np.abs(scores) / limit, 0, 1)[..., None] ** 0.5 if limit > 0 else 0.0
    grey = 1 - GREY_LEVEL * (1 - pixels.mean(-1, keepdims=True))
    return grey * (1 - 0.85 * strength) + shown * 0.85 * strength


def png_bytes(figure: Figure) -> bytes:
    """A figure as PNG; without dates, so that equal figures are equal files."""
    buffer = io.BytesIO()
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(FONT)
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
