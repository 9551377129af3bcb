"""Figures of maps: for several classes, methods, concepts and quantities. Evidence against an output is hatched."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from matplotlib.figure import Figure

from cdam_bench.drawing.grids import CLASS_BLIND, Explained, shown_estimator
from cdam_bench.drawing.layout import Row, lay_out
from cdam_bench.drawing.maps import SIGNED, Bar, Panel, palette_of, scales, shares
from cdam_bench.drawing.names import display_name

HATCHED_FROM = 0.25  # of a map's largest magnitude: evidence against an output that is as strong is hatched
SHORT = replace(SIGNED, ends=("against", "for"))  # words that have room under a scale in a column
SIDE = 1.08  # inches that a panel takes, where all stand side by side, before the figure gets its width
NARROW, WIDE = 4, 7  # panels side by side in a column and on a page


@dataclass(frozen=True)
class Shown:
    """A panel with what stands above it."""

    panel: Panel
    heading: str


def output_maps(images: Sequence[Explained], across: int) -> Figure:
    """One estimator's maps of every output: picture, attention map and a map for each, a block of panels per image.

    Args:
        images: with their maps.
        across: panels side by side.
    """
    shown = shown_estimator(list(images[0].maps))
    rows = []
    for image in images:
        panels = [Shown(_picture(image), "picture")]
        if CLASS_BLIND in image.maps and shown != CLASS_BLIND:
            panels.append(Shown(_map(image, CLASS_BLIND, 0), display_name(CLASS_BLIND)))
        panels += _of_outputs(image, shown)
        rows += _rows(panels, across)
    return _figure(rows, across, _bars(images[0], (shown, CLASS_BLIND)))


def method_maps(images: Sequence[Explained], across: int) -> Figure:
    """Maps of all estimators: a row for every image and target, a column per estimator; blocks where they are many.

    Args:
        images: with their maps.
        across: panels side by side.
    """
    names = list(images[0].maps)
    blocks = _parts(names, _even(len(names), across - 1))
    rows = []
    for block in blocks:
        headings = list(map(display_name, block))
        for image in images:
            for k, target in enumerate(image.targets):
                maps = [_map(image, name, k) for name in block]
                rows.append(Row([_picture(image, k), *maps], [f"{target}\n{image.value(k)}", *headings]))
                headings = [""] * len(block)
    return _figure(rows, across, _bars(images[0], names))


def class_and_concept_maps(pairs: Sequence[tuple[Explained, Explained]], across: int) -> Figure:
    """One estimator's maps of classes beside those of concepts, for the same images.

    Args:
        pairs: an image explained for classes, and the same explained for concepts.
        across: panels side by side.
    """
    rows = []
    common = [name for name in pairs[0][0].maps if name in pairs[0][1].maps]
    shown = shown_estimator(common)
    for classes, concepts in pairs:
        panels = [Shown(_picture(classes), "picture")]
        for what, image in (("class", classes), ("concept", concepts)):
            panels += [Shown(one.panel, f"{what} {one.heading}") for one in _of_outputs(image, shown)]
        rows += _rows(panels, across)
    return _figure(rows, across, _bars(pairs[0][0], (shown,)))


def _even(methods: int, most: int) -> int:
    """Methods side by side: at most `most`, and about as many in every block."""
    return ceil(methods / ceil(methods / most))


def _parts(things: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """`size` things at a time."""
    return [things[start : start + size] for start in range(0, len(things), size)]


def _rows(panels: Sequence[Shown], across: int) -> list[Row]:
    """Panels in rows of `across`."""
    return [Row([one.panel for one in part], [one.heading for one in part]) for part in _parts(panels, across)]


def _of_outputs(image: Explained, estimator: str) -> list[Shown]:
    """An estimator's map of every output."""
    return [Shown(_map(image, estimator, k), f"{target}\n{image.value(k)}") for k, target in enumerate(image.targets)]


def _picture(image: Explained, k: int | None = None) -> Panel:
    """The picture with the box of target `k`, where there is one."""
    box = None if k is None or image.boxes is None or len(image.boxes) <= k else image.boxes[k]
    return Panel(image.pixels, box, image.mask)


def _map(image: Explained, estimator: str, k: int) -> Panel:
    scores = image.maps[estimator][k]
    signed = image.is_signed(estimator)
    against = shares(scores) <= -HATCHED_FROM if signed else None
    return Panel(palette_of(signed).coloured(scores), None, image.mask, hatched=against)


def _bars(image: Explained, names: Iterable[str]) -> list[Bar]:
    """The scales of the maps that are shown, hatched as they are."""
    signed = {name: image.is_signed(name) for name in dict.fromkeys(names) if name in image.maps}
    bars = scales(signed, signed_palette=SHORT)
    # zero is in the middle of a scale of signed maps, which alone has three ticks
    return [replace(bar, hatched=(1 - HATCHED_FROM) / 2) if len(bar.ticks) == 3 else bar for bar in bars]


def _figure(rows: list[Row], across: int, bars: list[Bar]) -> Figure:
    """Fewer panels than could stand side by side are larger; letters stay as they are."""
    return lay_out(rows, min(across, max(len(row.panels) for row in rows)), SIDE * across, bars=bars)
