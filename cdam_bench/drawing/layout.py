"""Where things stand in a figure of maps, from top to bottom: a title, rows of panels with headings, scales, a caption."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from cdam_bench.drawing.maps import Bar, Panel, draw_bar, draw_panel
from cdam_bench.drawing.style import STYLE, styled

GAP, MARGIN = 0.06, 0.07  # inches between panels; at the figure's edge
LINE = 0.17  # height of a line of text
BAR_HEIGHT, BAR_WIDTH = 0.16, 2.5
SMALL, NORMAL, LARGE = 9.0, 10.0, 11.0  # points


@dataclass(frozen=True)
class Row:
    """Panels side by side.

    Args:
        panels: one for each column from the left; text is written where a panel would be; None: nothing is there.
        headings: above the panels, one each, or ().
        label: in bold above the panels, from the second column on.
    """

    panels: Sequence[Panel | str | None]
    headings: Sequence[str] = ()
    label: str = ""


class Sheet:
    """A figure that is filled from top to bottom.

    Args:
        width: of the figure in inches.
        height: of the figure in inches.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height, self.used = width, height, 0.0
        self.figure = Figure(figsize=(width, height))

    def write(self, x: float, text: str, height: float, size: float, **style: Any) -> None:
        """Write text at `x` into the next `height` inches, at their bottom unless `va` says otherwise."""
        y = self.used + (0.0 if style.get("va") == "top" else height)
        drawn: dict[str, Any] = {"va": "bottom", "fontsize": size, **style}
        self.figure.text(x / self.width, 1 - y / self.height, text, **drawn)

    def place(self, left: float, width: float, height: float) -> tuple[float, float, float, float]:
        """A rectangle whose upper edge is where the sheet is filled to, for `Figure.add_axes`."""
        bottom = self.height - self.used - height
        return left / self.width, bottom / self.height, width / self.width, height / self.height


def lay_out(
    rows: Sequence[Row], columns: int, width: float, title: str = "", bars: Sequence[Bar] = (), caption: str = ""
) -> Figure:
    """A figure of panels.

    Args:
        rows: from the top; all panels have the shape of the first.
        columns: the most panels in a row.
        width: of the figure in inches.
        title: of the figure.
        bars: scales, drawn side by side below the panels.
        caption: below everything.
    """
    panel = next(panel for row in rows for panel in row.panels if isinstance(panel, Panel))
    side = (width - 2 * MARGIN) / columns
    tall = (side - GAP) * panel.pixels.shape[0] / panel.pixels.shape[1]
    inside = width - 2 * MARGIN
    title, caption = wrapped(title, inside, LARGE, "bold"), wrapped(caption, inside, SMALL)
    rows = [replace(row, label=wrapped(row.label, inside - side, NORMAL, "bold")) for row in rows]
    bars = [replace(bar, heading=wrapped(bar.heading, width / len(bars) - 0.2, SMALL)) for bar in bars]
    with styled():
        height = MARGIN + _height(title) + sum(_above(row, side) + tall + GAP for row in rows) + MARGIN
        foot = _bars_height(bars) + _height(caption)
        sheet = Sheet(width, height + foot)
        sheet.used = MARGIN
        if title:
            sheet.write(MARGIN, title, 0, LARGE, va="top", fontweight="bold")
            sheet.used += _height(title)
        for row in rows:
            _fill(sheet, row, side, tall)
        sheet.used = height
        _draw_bars(sheet, bars)
        if caption:
            sheet.used = height + _bars_height(bars)
            sheet.write(width / 2, caption, 0, SMALL, va="top", ha="center", color="#444444")
    return sheet.figure


def wrapped(text: str, width: float, size: float, weight: str = "normal") -> str:
    """Text in lines that fit into `width` inches, at a size in points; a longer word is broken. Its own line breaks stay."""
    lines: list[str] = []
    for given in text.splitlines():
        line = ""
        for word in given.split():
            longer = f"{line} {word}".strip()
            if line and text_width(longer, size, weight) > width:
                lines.append(line)
                longer = word
            while text_width(longer, size, weight) > width and len(longer) > 1:
                fitting = next(
                    n for n in range(len(longer) - 1, 0, -1) if n == 1 or text_width(longer[:n], size, weight) <= width
                )
                lines.append(longer[:fitting])
                longer = longer[fitting:]
            line = longer
        lines.append(line)
    return "\n".join(lines)


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Inches that a line takes in the figures' font, at a size in points."""
    font = FontProperties(family=STYLE["font.family"], weight=weight)
    return TextPath((0, 0), text, size=size, prop=font).get_extents().width / 72


def _height(text: str) -> float:
    return LINE * (text.count("\n") + 1) + 0.06 if text else 0.0


def _headings(row: Row, side: float) -> list[str]:
    return [wrapped(heading, side - GAP, NORMAL) for heading in row.headings]


def _above(row: Row, side: float) -> float:
    """Inches that the texts above a row take."""
    return max(map(_height, _headings(row, side)), default=0.0) + _height(row.label)


def _fill(sheet: Sheet, row: Row, side: float, tall: float) -> None:
    """Put a row onto the sheet."""
    headings = _headings(row, side)
    room = max(map(_height, headings), default=0.0)
    for column, heading in enumerate(headings):
        middle = MARGIN + (column + 0.5) * side
        # on the baseline of its last line: letters like g would lift it
        sheet.write(middle, heading, room - 0.07, NORMAL, ha="center", va="baseline", linespacing=1.05)
    sheet.used += room
    if row.label:
        sheet.write(MARGIN + side + GAP / 2, row.label, _height(row.label) - 0.04, NORMAL, fontweight="bold")
    sheet.used += _height(row.label)
    for column, panel in enumerate(row.panels):
        left = MARGIN + column * side + GAP / 2
        if isinstance(panel, Panel):
            tag = wrapped(panel.tag, side - 3 * GAP, SMALL)
            draw_panel(sheet.figure.add_axes(sheet.place(left, side - GAP, tall)), replace(panel, tag=tag))
        elif panel:
            sheet.write(left, panel, 0, SMALL, va="top", linespacing=1.35)
    sheet.used += tall + GAP


def _bar_width(bar: Bar, share: float) -> float:
    """Width of a scale that has `share` inches for itself and for the texts at its ends."""
    texts = max(text_width(line, SMALL) for _, text in bar.ticks for line in text.splitlines())
    return min(BAR_WIDTH, share - texts - GAP)


def _bars_height(bars: Sequence[Bar]) -> float:
    """Inches that scales take: the lines of their headings, the colours, two lines of ticks."""
    if not bars:
        return 0.0
    return max((_height(bar.heading) for bar in bars), default=0.0) + BAR_HEIGHT + 2 * LINE + 0.16


def _draw_bars(sheet: Sheet, bars: Sequence[Bar]) -> None:
    """Scales side by side, their headings above them."""
    if not bars:
        return
    room = max(_height(bar.heading) for bar in bars)
    share = (sheet.width - 2 * MARGIN) / len(bars)
    for number, bar in enumerate(bars):
        middle, width = MARGIN + (number + 0.5) * share, _bar_width(bar, share)
        if bar.heading:
            sheet.write(middle, bar.heading, room - 0.04, SMALL, ha="center")
        sheet.used += room
        draw_bar(sheet.figure.add_axes(sheet.place(middle - width / 2, width, BAR_HEIGHT)), bar)
        sheet.used -= room
