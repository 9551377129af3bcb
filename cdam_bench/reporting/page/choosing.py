"""Which images the gallery shows, and whose maps fit into the time for them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.store.columns import Column

HOW = (
    "Chosen by rule: the first image; then for each headline score the images with the worst and the best mean "
    "over methods, and the one where methods differ most (standard deviation over methods); then the next ones in order."
)


CHEAP, SHARE = 2 / 3, 3 / 4  # of the methods, and of the time, see `affordable`


@dataclass(frozen=True)
class Chosen:
    """An image of the gallery.

    Args:
        place: in the comparison's images.
        why: what it was chosen for.
    """

    place: int
    why: list[str]


def choose_images(comparison: Comparison, columns: list[Column], most: int) -> list[Chosen]:
    """Images for the gallery; those that come first matter most.

    Args:
        comparison: its finished cells decide; all, where none is finished.
        columns: the headline scores; those without a good direction are not asked.
        most: how many images.
    """
    chosen: dict[int, list[str]] = {0: ["first"]}
    cells = comparison.complete_cells or comparison.cells
    for column in (column for column in columns if column.sign):
        values = np.stack([comparison.values(cell, [column.name])[:, 0] for cell in cells], 1)  # (images, methods)
        for why, order in _orders(values * column.sign).items():
            if len(order):
                chosen.setdefault(int(order[0]), []).append(f"{why} {column.text}")
    for place in range(len(comparison.images)):
        chosen.setdefault(place, [])
    return [Chosen(place, why) for place, why in list(chosen.items())[:most]]


def _orders(goodness: np.ndarray) -> dict[str, np.ndarray]:
    """What an image may be chosen for → the images from the most extreme one, those where nothing is known left out."""
    known = np.flatnonzero(np.isfinite(goodness).any(1))
    means, spreads = np.nanmean(goodness[known], 1), np.nanstd(goodness[known], 1)
    orders = {"worst": means, "best": -means, "largest disagreement in": -spreads}
    return {why: known[np.argsort(values, kind="stable")] for why, values in orders.items()}


def affordable(costs: Mapping[str, float], images: int, seconds: float) -> dict[str, int]:
    """How many of the first images each method explains, so that all of them together take no more than so many seconds.

    The cheapest two thirds of the methods explain the same images, as many as three quarters of the time allow. What is left is
    shared evenly by the others; what one does not need goes to those that cost more.

    Args:
        costs: method → seconds per image, as its cell kept them; 0 where nothing is known.
        images: at most.
        seconds: for all methods together.
    """
    order = sorted(costs, key=lambda name: costs[name])
    cheap = order[: math.ceil(len(order) * CHEAP)]
    together = sum(costs[name] for name in cheap)
    shown = images if together * images <= SHARE * seconds else int(SHARE * seconds / together)
    numbers, left = dict.fromkeys(cheap, shown), seconds - shown * together
    for done, name in enumerate(order[len(cheap) :]):
        share = left / (len(order) - len(cheap) - done)
        numbers[name] = shown if costs[name] * shown <= share else int(share / costs[name])
        left -= numbers[name] * costs[name]
    return numbers
