"""The figure of an explanation: colours, scales and caption."""

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg

from cdam_bench.errors import UserError
from cdam_bench.explaining.explanation import Explanation
from cdam_bench.explaining.figure import caption_of, coloured, limits, overlay
from cdam_bench.explaining.targets import Target

MAPS = [np.linspace(-2, 1, 101).reshape(1, 101), np.zeros((1, 101))]


def explanation():
    shapes = {
        "cdam": {"zebra": np.eye(16), "4": -np.eye(16)},
        "gradcam": {"zebra": np.eye(16), "4": np.zeros((16, 16))},
    }
    targets = [Target(340, "zebra", 9.0, 0.8), Target(4, "4", 2.0, 0.1)]
    return Explanation("two", np.full((16, 16, 3), 0.3), targets, shapes, targets, ["cropped from 18×18 to 16×16"])


def test_zero_is_neutral_and_the_ends_are_symmetric():
    middle = np.array(colormaps["RdBu_r"](0.5)[:3])
    shown = coloured(np.array([[-5.0, 0.0, 5.0]]), 5.0, colormaps["RdBu_r"])
    np.testing.assert_allclose(shown[0, 1], middle, atol=0.01)
    np.testing.assert_allclose(shown[0, 0], colormaps["RdBu_r"](0.0)[:3])
    np.testing.assert_allclose(shown[0, 2], colormaps["RdBu_r"](1.0)[:3])
    np.testing.assert_allclose(coloured(np.zeros((1, 1)), 0.0, colormaps["RdBu_r"])[0, 0], middle, atol=0.01)


def test_an_overlay_leaves_the_picture_where_the_map_is_zero():
    pixels = np.random.default_rng(0).uniform(size=(1, 2, 3))
    scores = np.array([[0.0, 1.0]])
    shown = overlay(coloured(scores, 1.0, colormaps["RdBu_r"]), scores, 1.0, pixels)
    assert np.ptp(shown[0, 0]) == pytest.approx(0)  # grey
    assert np.ptp(shown[0, 1]) > 0.3


def test_scales_are_each_maps_own_or_the_rows():
    assert limits(MAPS, "map", None) == [2.0, 0.0]
    assert limits(MAPS, "row", None) == [2.0, 2.0]
    assert limits(MAPS[:1], "map", 0.9) == [pytest.approx(np.quantile(np.abs(MAPS[0]), 0.9))]


def test_a_sparse_map_is_not_clipped_to_nothing():
    sparse = np.zeros((10, 10))
    sparse[0, 0] = 3.0
    assert limits([sparse], "map", 0.5) == [3.0]


def test_the_caption_says_scale_clipping_and_crop():
    text = caption_of(explanation(), "row", 0.95)
    assert "share one scale" in text
    assert "95 % quantile" in text
    assert "Cropped from 18×18" in text


@pytest.mark.parametrize("style", ["beside", "overlay"])
def test_nothing_in_the_figure_is_cut_or_overlaps(style):
    figure = explanation().plot(style=style, scale="row", clip=0.9)
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [text for text in figure.texts if text.get_text()]
    boxes = [text.get_window_extent(renderer) for text in texts]
    for box in boxes:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y1 <= figure.bbox.height
    for i, first in enumerate(boxes):
        assert not any(first.overlaps(second) for second in boxes[:i]), texts[i]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": "column"}, "map or row"),
        ({"clip": 95}, "between 0 and 1"),
        ({"style": "side"}, "beside or overlay"),
        ({"colours": "RdBu_"}, "RdBu"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        explanation().plot(**arguments)
