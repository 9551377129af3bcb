"""Panels in rows: where they are, and that their texts have room."""

import numpy as np
import pytest

from cdam_bench.drawing.layout import MARGIN, Row, lay_out, text_width, wrapped
from cdam_bench.drawing.maps import SIGNED, UNSIGNED, Panel, bar, scales
from tests.drawing.overlaps import all_texts, troubles

WIDE = Panel(np.zeros((10, 20, 3)))


def test_panels_stand_in_columns_and_rows_and_have_the_shape_of_their_pixels():
    figure = lay_out([Row([WIDE, WIDE]), Row([None, WIDE])], columns=2, width=4.0)
    first, second, below = (axes.get_position() for axes in figure.axes)
    assert first.y0 == second.y0 > below.y1
    assert second.x0 == pytest.approx(below.x0)
    assert first.x1 < second.x0
    width, height = figure.get_size_inches()
    assert width == 4.0
    assert second.height * height == pytest.approx(second.width * width / 2)


def test_a_text_can_stand_where_a_panel_would_be():
    figure = lay_out([Row([WIDE, "seen:\na zebra"])], columns=2, width=4.0)
    assert len(figure.axes) == 1
    assert "seen: a zebra" in all_texts(figure)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_no_text_is_cut_or_overlaps(count):
    names = ["Relevance Propagation", "a_method_with_a_long_name", "CDAM", "Smooth CDAM"][:count]
    rows = [Row([WIDE] * (1 + count), ["image", *names], "African elephant (92 %)"), Row([WIDE], label="zebra (1 %)")]
    bars = scales(dict(zip(names, (True, False, True, False), strict=False)), bar, "99.9 % quantile")
    caption = "What the colours mean, and everything that was done to the picture before it was explained."
    figure = lay_out(
        rows, 1 + count, 1.75 * (1 + count), "A title that needs more than the one line it would like", bars, caption
    )
    assert troubles(figure) == []


def test_wrapped_lines_fit_and_lose_nothing():
    text = "Relevance Propagation of a-very-long-word-without-any-space, twice"
    lines = wrapped(text, 1.0, 10).splitlines()
    assert all(text_width(line, 10) <= 1.0 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_line_breaks_of_a_text_stay():
    assert wrapped("margin\nvalue 0.4", 5.0, 10) == "margin\nvalue 0.4"


def test_two_scales_stand_side_by_side_below_the_panels():
    figure = lay_out([Row([WIDE] * 3)], 3, 5.25, bars=[bar(SIGNED, "CDAM"), bar(UNSIGNED, "GradCAM")])
    *panels, left, right = (axes.get_position() for axes in figure.axes)
    assert left.y0 == right.y0
    assert left.y1 < min(panel.y0 for panel in panels)
    assert MARGIN / 5.25 < left.x0 < left.x1 < right.x0
