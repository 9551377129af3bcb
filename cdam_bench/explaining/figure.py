"""The figure of one explained picture: a row per target, a column per estimator; readable on a phone's width."""

import io
import re
from dataclasses import replace
from typing import Protocol

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from cdam_bench.drawing.layout import Row, lay_out
from cdam_bench.drawing.maps import SIGNED, UNSIGNED, Palette, Panel, bar, limits, overlay_bar, scales
from cdam_bench.drawing.names import display_name
from cdam_bench.errors import nearest_names, require
from cdam_bench.explaining.targets import Target

MAPS = "maps"  # the style of plain maps, a file each
SCALES, STYLES = ("map", "row"), ("beside", "overlay", MAPS)
DIVERGING = ("RdBu_r", "PuOr", "coolwarm")  # some that can be used
SIDE = 1.75  # inches of a column …
MANY, SIDE_OF_MANY = 4, 1.45  # … and where there are so many, that letters stay large on a phone
MOST_LETTERS = 80  # of a target's name in a file's
LONGEST = 12  # letters of a name under the picture


class Explained(Protocol):
    """What is drawn of an `Explanation`, which says what each means."""

    @property
    def name(self) -> str: ...
    @property
    def pixels(self) -> np.ndarray: ...
    @property
    def targets(self) -> list[Target]: ...
    @property
    def maps(self) -> dict[str, dict[str, np.ndarray]]: ...
    @property
    def predictions(self) -> list[Target]: ...
    @property
    def notes(self) -> list[str]: ...
    @property
    def backbone(self) -> str: ...
    @property
    def signed(self) -> dict[str, bool]: ...


def explanation_figure(
    explanation: Explained,
    scale: str = "map",
    clip: float | None = None,
    style: str = "beside",
    colours: str = "RdBu_r",
) -> Figure:
    """Draw an explanation; for the arguments see `Explanation.plot`.

    Raises:
        UserError: for a scale, quantile, style or colour map that cannot be.
    """
    check_settings(scale, clip, style, colours)
    require(
        style != MAPS, "style=maps is no figure, but a file for each map: use save(…, style='maps'), or heat_maps()"
    )
    palette = replace(SIGNED, colours=colormaps[colours])
    signed = {name: explanation.signed.get(name, True) for name in explanation.maps}
    rows = []
    for target in explanation.targets:
        maps = {name: named[target.name] for name, named in explanation.maps.items()}
        rows.append(Row(_panels(explanation, maps, signed, palette, scale, clip, style), label=target.heading))
    rows[0] = replace(
        rows[0],
        panels=[Panel(explanation.pixels), *rows[0].panels],
        headings=["image", *map(display_name, explanation.maps)],
    )
    for number, row in enumerate(rows[1:], 1):
        rows[number] = replace(row, panels=[_predicted(explanation) if number == 1 else None, *row.panels])
    end = "max |S|" if clip is None else f"{100 * clip:g} % quantile"
    bars = scales(signed, overlay_bar if style == "overlay" else bar, end, palette)
    columns = 1 + len(explanation.maps)
    caption = caption_of(explanation, scale, clip, style)
    return lay_out(
        rows, columns, columns * (SIDE_OF_MANY if columns >= MANY else SIDE), explanation.name, bars, caption
    )


def plain_maps(
    explanation: Explained, scale: str = "map", clip: float | None = None, colours: str = "RdBu_r"
) -> dict[str, dict[str, np.ndarray]]:
    """The maps in the figure's colours without the figure: estimator → name of the target → (H, W, 3), 8-bit.

    Raises:
        UserError: for a scale, quantile or colour map that cannot be.
    """
    check_settings(scale, clip, MAPS, colours)
    palette = replace(SIGNED, colours=colormaps[colours])
    signed = {name: explanation.signed.get(name, True) for name in explanation.maps}
    drawn: dict[str, dict[str, np.ndarray]] = {name: {} for name in explanation.maps}
    for target in explanation.targets:
        maps = {name: named[target.name] for name, named in explanation.maps.items()}
        panels = _panels(explanation, maps, signed, palette, scale, clip, MAPS)
        for name, panel in zip(maps, panels, strict=True):
            drawn[name][target.name] = (panel.pixels * 255).round().astype(np.uint8)
    return drawn


def png_of(pixels: np.ndarray) -> bytes:
    """(H, W, 3), 8-bit, as the bytes of a PNG file."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png")
    return content.getvalue()


def file_word(text: str) -> str:
    """A name as part of a file's: without what separates folders or needs quotes, and not too long."""
    return re.sub(r"[^\w.()+-]+", "_", text)[:MOST_LETTERS]


def check_settings(scale: str, clip: float | None, style: str, colours: str) -> None:
    """Raise UserError for settings of a figure that cannot be."""
    for name, value, allowed in (("scale", scale, SCALES), ("style", style, STYLES)):
        listed = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
        require(value in allowed, f"{name}={value} is unknown: use {listed}")
    require(
        clip is None or (isinstance(clip, int | float) and 0 < clip <= 1),
        f"clip={clip}: must be a quantile between 0 and 1, such as 0.99",
    )
    near = " or ".join(nearest_names(str(colours), colormaps)) or ", ".join(DIVERGING)
    require(colours in colormaps, f"colours={colours} is unknown: did you mean {near}?")


def _panels(
    explanation: Explained,
    maps: dict[str, np.ndarray],
    signed: dict[str, bool],
    palette: Palette,
    scale: str,
    clip: float | None,
    style: str,
) -> list[Panel]:
    """The maps of a target in their colours; where a row shares a scale, each kind of map has its own."""
    ends: dict[str, float] = {}
    for kind in (True, False):
        own = {name: m for name, m in maps.items() if signed[name] == kind}
        ends |= dict(zip(own, limits(list(own.values()), scale, clip), strict=True))
    panels = []
    for name, scores in maps.items():
        colours = palette if signed[name] else UNSIGNED
        if style == "overlay":
            panels.append(Panel(colours.laid_over(explanation.pixels, scores, ends[name])))
        else:
            panels.append(Panel(colours.coloured(scores, ends[name])))
    return panels


def _predicted(explanation: Explained) -> str | None:
    """The most probable classes, to be written under the picture."""
    shown = [(found.name, f"{100 * (found.probability or 0):.0f} %") for found in explanation.predictions]
    lines = [f"{name if len(name) <= LONGEST else name[: LONGEST - 1] + '…'}: {share}" for name, share in shown]
    return "\n".join(["predicted:", *lines]) if lines else None


def caption_of(explanation: Explained, scale: str, clip: float | None, style: str = "beside") -> str:
    """What was explained, how the colours are to be read, and what was done to the picture."""
    height, width = explanation.pixels.shape[:2]
    sentences = [f"Backbone: {explanation.backbone}." if explanation.backbone else ""]
    sentences.append("Each map has a scale of its own." if scale == "map" else "The maps of a row share one scale.")
    if scale == "row" and len(set(explanation.signed.values())) > 1:
        sentences[-1] = "The maps of a row that have the same colours share one scale."
    if style == "overlay":
        sentences.append("Where a map is zero, the grey picture alone is seen; the scales are drawn on even grey.")
    if clip is not None:
        sentences.append(f"Clipped: colours end at the {100 * clip:g} % quantile of |S|.")
    sentences.append(f"{height}×{width} pixels.")
    return " ".join([*filter(None, sentences), *(f"{note[0].upper()}{note[1:]}." for note in explanation.notes)])
