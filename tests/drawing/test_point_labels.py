"""Names beside points lie on nothing, however crowded the points are."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from cdam_bench.drawing.point_labels import Point, label_points
from cdam_bench.drawing.style import styled

NAMES = [f"a method no. {i}" for i in range(26)]


def labelled(places, bar=0.02):
    with styled():
        figure = Figure(figsize=(7, 3.3), dpi=150)
        axes = figure.add_axes((0.1, 0.15, 0.88, 0.8))
        axes.set(xlim=(0, 1), ylim=(0, 1))
        points = [Point(n, x, y, y - bar, y + bar, "black") for n, (x, y) in zip(NAMES, places, strict=False)]
        return axes, points, label_points(axes, points)


def overlapping(boxes):
    return [(i, j) for i, box in enumerate(boxes) for j in range(i) if box.overlaps(boxes[j])]


@pytest.mark.parametrize("spread", [0.08, 0.2, 0.45])
@pytest.mark.parametrize("seed", range(2))
def test_names_do_not_overlap_and_stay_inside(spread, seed):
    places = 0.5 + np.random.default_rng(seed).uniform(-spread, spread, size=(26, 2))
    axes, _, boxes = labelled(places)
    frame = axes.get_window_extent()
    assert overlapping(boxes) == []
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes)


def test_the_text_is_where_its_box_is():
    axes, points, boxes = labelled([(0.3, 0.4), (0.32, 0.45)])
    drawn = {text.get_text(): text.get_window_extent() for text in axes.texts}
    for point, box in zip(points, boxes, strict=True):
        seen = drawn[point.name]
        assert ((seen.x0 + seen.x1) / 2, (seen.y0 + seen.y1) / 2) == pytest.approx(
            ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2), abs=3
        )
        assert seen.width <= box.width + 3


def test_a_name_keeps_clear_of_all_points_and_bars_where_there_is_room():
    axes, points, boxes = labelled([(0.2, 0.5), (0.24, 0.5), (0.8, 0.5)], bar=0.2)
    for point in points:
        x, low = axes.transData.transform((point.x, point.low))
        high = axes.transData.transform((point.x, point.high))[1]
        assert not any(box.x0 < x < box.x1 and box.y0 < high and low < box.y1 for box in boxes)


def test_a_name_far_from_its_point_has_a_line_to_it_and_one_beside_it_has_none():
    axes, _, _ = labelled([(0.5, 0.5)])
    assert len(axes.lines) == 0
    axes, _, _ = labelled(0.5 + np.random.default_rng(0).uniform(-0.05, 0.05, size=(26, 2)))
    assert len(axes.lines) > 5


def test_names_keep_clear_of_lines():
    with styled():
        figure = Figure(figsize=(7, 3.3), dpi=150)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, 1), ylim=(0, 1))
        (box,) = label_points(axes, [Point("mine", 0.5, 0.5, 0.49, 0.51, "black")], [((0.4, 0.5), (1.0, 0.5))])
    level = axes.transData.transform((0.5, 0.5))[1]
    assert not box.y0 < level < box.y1 or box.x1 < axes.transData.transform((0.4, 0.5))[0]
