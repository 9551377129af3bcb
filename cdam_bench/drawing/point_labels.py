"""Names beside points, placed so that they lie neither on each other nor on the points and their bars."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import pi
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from cdam_bench.drawing.layout import text_width

# twelfths of a half turn: beside the point first, then above and below, then everything between
TWELFTHS = (0, 12, 2, 22, 10, 14, 4, 20, 8, 16, 6, 18, 1, 23, 3, 21, 5, 19, 7, 17, 9, 15, 11, 13)
GAPS = (0.09, 0.15, 0.24, 0.35, 0.5, 0.66, 0.85, 1.1, 1.4, 1.8, 2.3, 2.9)  # inches from a point to its name
PLACES = np.array([(gap, twelfth * pi / 12) for gap, twelfth in product(GAPS, TWELFTHS)])  # from near to far
LEADS_FROM = 0.2  # from this gap on a thin line leads from the point to its name
MARKER = 0.05  # half a marker's side, in inches
# of a place outside the axes, names on names, lines on names, names on points and bars, lines on points
WEIGHTS = (1e6, 1e4, 30, 20, 1)
Spot = tuple[float, float]


@dataclass(frozen=True)
class Point:
    """A point with its name.

    Args:
        name: to be written.
        x, y: data coordinates.
        low, high: ends of its bar, along y.
        colour: of the name.
    """

    name: str
    x: float
    y: float
    low: float
    high: float
    colour: str


def label_points(
    axes: Axes, points: Sequence[Point], lines: Sequence[tuple[Spot, Spot]] = (), size: float = 8.0
) -> list[Bbox]:
    """Write the name of every point near it; a name that has to stand farther off gets a thin line to its point.

    Args:
        axes: their limits and scales are final, and so is their place in the figure (no layout engine moves it later).
        points: those with the most neighbours choose first.
        lines: upright or level ones that names keep clear of, too: both ends in data coordinates.
        size: of the letters, in points.
    Returns:
        Where the names are, in pixels of the figure and in the order of `points`.
    """
    dpi = axes.figure.dpi
    spots = axes.transData.transform([(point.x, point.y) for point in points])  # (n, 2)
    marks = np.hstack([spots - MARKER * dpi, spots + MARKER * dpi])
    bars = [((point.x, point.low), (point.x, point.high)) for point in points]
    thin = _thin(axes, [*bars, *lines])
    near = np.linalg.norm(spots[:, None] - spots, axis=-1) < 0.6 * dpi
    boxes, leaders = np.empty((0, 4)), np.empty((0, 4))
    found: dict[int, np.ndarray] = {}
    for i in sorted(range(len(points)), key=lambda i: -near[i].sum()):
        extent = np.array([text_width(points[i].name, size) * dpi + 3, 1.25 * size / 72 * dpi])
        candidates, leads = _candidates(spots[i], extent, dpi)
        others = np.delete(marks, i, 0)
        lines_on_names = cross(leaders, candidates).sum(0) + cross(leads, boxes).sum(1)
        marks_covered = overlap(candidates, np.vstack([marks, thin])).sum(1)
        troubles = (
            *(_outside(candidates, axes), overlap(candidates, boxes).sum(1)),
            *(lines_on_names, marks_covered, cross(leads, others).sum(1)),
        )
        best = int(np.dot(WEIGHTS, np.array(troubles)).argmin())  # the nearest of equals
        found[i] = candidates[best]
        boxes, leaders = np.vstack([boxes, candidates[best]]), np.vstack([leaders, leads[best]])
        _write(axes, points[i], candidates[best], leads[best], size)
    return [Bbox.from_extents(*found[i]) for i in range(len(points))]


def overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether boxes (n, 4) and (m, 4), each x0, y0, x1, y1, share a part of the plane: (n, m)."""
    a, b = first[:, None], second[None]
    apart = (a[..., :2] >= b[..., 2:]) | (b[..., :2] >= a[..., 2:])
    return ~np.asarray(apart.any(-1))


def cross(segments: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Whether segments (n, 4), each from x0, y0 to x1, y1, pass through boxes (m, 4): (n, m). NaN: there is none.

    The segment is cut to where it is between the box's sides, first in x and then in y.
    """
    start, step = segments[:, None, :2], (segments[:, 2:] - segments[:, :2])[:, None]
    step = np.where(step == 0, 1e-9, step)
    ends = np.stack([(boxes[None, :, :2] - start) / step, (boxes[None, :, 2:] - start) / step])  # (2, n, m, 2)
    enters, leaves = ends.min(0).max(-1).clip(min=0), ends.max(0).min(-1).clip(max=1)
    return enters < leaves


def _thin(axes: Axes, lines: Sequence[tuple[Spot, Spot]]) -> np.ndarray:
    """What upright or level lines cover, (n, 4)."""
    ends = axes.transData.transform(np.array(lines).reshape(-1, 2)).reshape(-1, 2, 2)
    return np.hstack([ends.min(1) - 1, ends.max(1) + 1])


def _candidates(spot: np.ndarray, extent: np.ndarray, dpi: float) -> tuple[np.ndarray, np.ndarray]:
    """Where a name could stand, from near to far: boxes (c, 4), and the lines to them (c, 4), NaN for those beside the point."""
    gap, angle = PLACES[:, :1], PLACES[:, 1:]
    middle = spot + np.hstack([np.cos(angle), np.sin(angle)]) * (gap * dpi + extent / 2)
    low, high = middle - extent / 2, middle + extent / 2
    leads = np.hstack([np.broadcast_to(spot, low.shape), np.clip(spot, low, high)])
    return np.hstack([low, high]), np.where(gap >= LEADS_FROM, leads, np.nan)


def _outside(boxes: np.ndarray, axes: Axes) -> np.ndarray:
    """Which boxes leave the axes."""
    frame = axes.get_window_extent()
    beyond = np.hstack([boxes[:, :2] < [frame.x0, frame.y0], boxes[:, 2:] > [frame.x1, frame.y1]])  # (n, 4)
    return np.asarray(beyond.any(1))


def _write(axes: Axes, point: Point, box: np.ndarray, lead: np.ndarray, size: float) -> None:
    """The name in its box, and the line to it."""
    inverse = axes.transData.inverted()
    if not np.isnan(lead).any():
        (x0, y0), (x1, y1) = inverse.transform(lead.reshape(2, 2))
        axes.plot([x0, x1], [y0, y1], color="#999999", linewidth=0.6, zorder=1.8)
    x, y = inverse.transform((box[:2] + box[2:]) / 2)
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": size, "color": point.colour}
    axes.text(float(x), float(y), point.name, zorder=4, parse_math=False, **style)
