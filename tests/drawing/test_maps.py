"""Colours of maps, their scales, and what is drawn on a panel."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from cdam_bench.drawing.maps import SIGNED, UNSIGNED, Panel, bar, draw_panel, limits, overlay_bar, scales

MAPS = [np.linspace(-2, 1, 101).reshape(1, 101), np.zeros((1, 101))]


def test_zero_is_white_evidence_warm_and_counter_evidence_cold():
    against, neutral, for_it = SIGNED.coloured(np.array([[-3.0, 0.0, 3.0]]))[0]
    assert neutral == pytest.approx([1, 1, 1], abs=0.04)
    assert for_it[0] > for_it[2] + 0.2
    assert against[2] > against[0] + 0.2


def test_importance_goes_from_white_to_dark():
    shown = UNSIGNED.coloured(np.linspace(0, 5, 11)[None])[0]
    assert shown[0] == pytest.approx([1, 1, 1], abs=0.04)
    assert (np.diff(shown.sum(-1)) < 0).all()


@pytest.mark.parametrize("palette", [SIGNED, UNSIGNED])
def test_colours_depend_on_the_share_of_the_largest_magnitude_alone(palette):
    scores = np.array([[1.0, 4.0], [2.0, 0.0]])
    assert palette.coloured(scores) == pytest.approx(palette.coloured(1000 * scores))
    assert palette.coloured(np.zeros((2, 2))) == pytest.approx(np.ones((2, 2, 3)), abs=0.04)


def test_magnitudes_beyond_the_limit_have_the_colours_of_the_ends():
    shown = SIGNED.coloured(np.array([[-5.0, -1.0, 1.0, 5.0]]), 1.0)[0]
    np.testing.assert_array_equal(shown[0], shown[1])
    np.testing.assert_array_equal(shown[2], shown[3])


@pytest.mark.parametrize("palette", [SIGNED, UNSIGNED])
def test_an_overlay_leaves_the_grey_picture_where_the_map_is_zero(palette):
    pixels = np.random.default_rng(0).uniform(size=(1, 2, 3))
    shown = palette.laid_over(pixels, np.array([[0.0, 1.0]]))
    assert np.ptp(shown[0, 0]) == pytest.approx(0)  # grey
    assert np.ptp(shown[0, 1]) > 0.2


@pytest.mark.parametrize("palette", [SIGNED, UNSIGNED])
def test_a_scale_shows_the_colours_that_the_maps_have(palette):
    values = np.linspace(palette.low, 1, 257)[None]
    np.testing.assert_allclose(bar(palette).pixels, palette.coloured(3 * values, 3.0))
    even = np.full((1, 257, 3), 0.5)
    np.testing.assert_allclose(overlay_bar(palette).pixels, palette.laid_over(even, 3 * values, 3.0))
    places = {text.split("\n")[0]: place for place, text in bar(palette).ticks}
    zero = round(places["0"] * 256)
    assert values[0, zero] == 0
    assert np.ptp(overlay_bar(palette).pixels[0, zero]) == pytest.approx(0)  # zero of an overlay is grey, not white
    assert overlay_bar(palette).pixels[0, zero].max() < 0.9


def test_methods_that_cannot_speak_against_a_class_do_not_share_the_scale_of_those_that_can():
    signed, unsigned = scales({"cdam": True, "gradcam": False, "attention_map": False})
    assert (signed.heading, unsigned.heading) == ("CDAM", "GradCAM, Attention map")
    assert any("counter-evidence" in text for _, text in signed.ticks)
    assert not any("evidence" in text for _, text in unsigned.ticks)


@pytest.mark.parametrize("signed", [True, False])
def test_one_kind_of_map_has_one_scale_without_names(signed):
    (only,) = scales({"cdam": signed, "mine": signed})
    assert only.heading == ""


def test_limits_are_each_maps_own_or_shared():
    assert limits(MAPS, "map", None) == [2.0, 0.0]
    assert limits(MAPS, "row", None) == [2.0, 2.0]
    assert limits(MAPS[:1], "map", 0.9) == [pytest.approx(np.quantile(np.abs(MAPS[0]), 0.9))]
    assert limits([], "row", None) == []


def test_a_sparse_map_is_not_clipped_to_nothing():
    sparse = np.zeros((10, 10))
    sparse[0, 0] = 3.0
    assert limits([sparse], "map", 0.5) == [3.0]


def test_a_box_is_drawn_around_its_pixels():
    axes = Figure().add_subplot()
    draw_panel(axes, Panel(np.ones((8, 8, 3)), box=(1, 2, 4, 7)))  # rows 1 … 3, columns 2 … 6
    assert {patch.get_bbox().bounds for patch in axes.patches} == {(1.5, 0.5, 5, 3)}


def test_the_outline_of_a_mask_runs_around_it():
    mask = np.zeros((16, 16), bool)
    mask[4:9, 6:12] = True
    axes = Figure().add_subplot()
    draw_panel(axes, Panel(np.ones((16, 16, 3)), mask=mask))
    points = np.concatenate([path.vertices for one in axes.collections for path in one.get_paths()])
    assert points.min(0) == pytest.approx([5.5, 3.5])
    assert points.max(0) == pytest.approx([11.5, 8.5])
