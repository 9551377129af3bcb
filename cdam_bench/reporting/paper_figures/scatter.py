"""Figure S1: CDAM against attention, token by token."""

from collections.abc import Sequence
from math import gcd
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cdam_bench.drawing.families import line_of
from cdam_bench.drawing.grids import Explained
from cdam_bench.drawing.layout import NORMAL, Sheet
from cdam_bench.drawing.style import styled
from cdam_bench.statistics import Interval, mean_intervals

ACROSS, AGAINST = "attention_map", "cdam"
LEFT, RIGHT, BETWEEN, ABOVE, BELOW, TALL = 0.72, 0.14, 0.34, 0.3, 0.5, 2.6  # inches around the panels and their height
WIDTH = 7.4


def tokens_of(scores: np.ndarray) -> np.ndarray:
    """The scores of the tokens, (h·w,), of a map (H, W) in which all pixels of a token have its score.

    Tokens are as large as they can be: two neighbours with the same score are no trouble, as others differ.
    """
    side = 0
    for axis in (0, 1):
        changes = np.flatnonzero(np.diff(scores, axis=axis).any(1 - axis)) + 1
        side = gcd(side, scores.shape[axis], *map(int, changes))
    return scores[::side, ::side].ravel()


def pairs_of(images: Sequence[Explained], k: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Attention and CDAM of every token for target `k`, image by image."""
    return [
        (tokens_of(image.maps[ACROSS][k]), tokens_of(image.maps[AGAINST][k]))
        for image in images
        if len(image.targets) > k
    ]


def correlation(images: Sequence[Explained], k: int) -> Interval:
    """Mean over images of Pearson's r between attention and |CDAM|, with its interval; images with a constant map are left out."""
    values = [
        np.corrcoef(attention, np.abs(scores))[0, 1] if attention.std() and np.abs(scores).std() else np.nan
        for attention, scores in pairs_of(images, k)
    ]
    return mean_intervals(np.array(values)[:, None])[0]


def scatter(images: Sequence[Explained]) -> Figure:
    """A panel for each of the first two targets: a point per token.

    Args:
        images: with maps of both methods whose pixels have their token's score.
    """
    targets = min(2, max(len(image.targets) for image in images))
    with styled():
        sheet = Sheet(WIDTH, ABOVE + TALL + BELOW)
        sheet.used = ABOVE
        side = (WIDTH - LEFT - RIGHT + BETWEEN) / 2  # one panel alone has the width of two
        for k in range(targets):
            axes = sheet.figure.add_axes(sheet.place(LEFT + k * side, side - BETWEEN, TALL))
            _points(axes, pairs_of(images, k))
            if targets > 1:
                axes.set_title(("target class", "other class")[k], loc="left", fontsize=NORMAL)
            axes.set_xlabel("attention to the token", fontsize=NORMAL)
            axes.tick_params(labelleft=k == 0)
        largest = 1.05 * max(abs(end) for axes in sheet.figure.axes for end in axes.get_ylim())
        for axes in sheet.figure.axes:
            axes.set_ylim(-largest, largest)
        sheet.figure.axes[0].set_ylabel("CDAM of the token", fontsize=NORMAL)
    return sheet.figure


def _points(axes: Axes, pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """All tokens of all images: hollow where they speak against the class."""
    attention, scores = (np.concatenate(part) for part in zip(*pairs, strict=True))
    colour = line_of(AGAINST, [AGAINST])["color"]
    for chosen, face in ((scores >= 0, colour), (scores < 0, "white")):
        style: dict[str, Any] = {"facecolors": face, "edgecolors": colour, "linewidths": 0.5}
        axes.scatter(attention[chosen], scores[chosen], s=9, alpha=0.7, **style)
    axes.axhline(0, color="#888888", linewidth=0.8, zorder=1)
    axes.set_xlim(left=0)
