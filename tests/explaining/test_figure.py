"""The figure of an explanation: what it says, and that it can be read."""

import numpy as np
import pytest

from cdam_bench.errors import UserError
from cdam_bench.explaining.explanation import Explanation
from cdam_bench.explaining.figure import caption_of
from cdam_bench.explaining.targets import Target
from tests.drawing.overlaps import all_texts, troubles


def explanation():
    shapes = {
        "cdam": {"zebra": np.eye(16), "4": -np.eye(16)},
        "gradcam": {"zebra": np.eye(16), "4": np.zeros((16, 16))},
    }
    targets = [Target(340, "zebra", 9.0, 0.8), Target(4, "4", 2.0, 0.1)]
    notes, signed = ["cropped from 18×18 to 16×16"], {"cdam": True, "gradcam": False}
    return Explanation("two", np.full((16, 16, 3), 0.3), targets, shapes, targets, notes, "dino_vits8", signed)


def test_the_caption_says_scale_clipping_and_crop():
    text = caption_of(explanation(), "row", 0.95)
    assert "share one scale" in text
    assert "95 % quantile" in text
    assert "Cropped from 18×18" in text


@pytest.mark.parametrize("style", ["beside", "overlay"])
def test_nothing_in_the_figure_is_cut_or_overlaps(style):
    assert troubles(explanation().plot(style=style, scale="row", clip=0.9)) == []


@pytest.mark.parametrize("style", ["beside", "overlay"])
def test_the_figure_names_picture_backbone_targets_and_methods(style):
    texts = all_texts(explanation().plot(style=style))
    assert {"two", "CDAM", "GradCAM", "zebra (80 %)", "4 (10 %)"} <= set(texts)
    assert any("Backbone: dino_vits8." in text for text in texts)


def test_a_map_that_cannot_speak_against_a_class_has_its_own_scale():
    figure = explanation().plot()
    texts = all_texts(figure)
    assert any("importance" in text for text in texts)
    cdam, gradcam = (figure.axes[place].images[0].get_array() for place in (1, 2))  # both are np.eye(16)
    assert np.abs(cdam[0, 0] - gradcam[0, 0]).max() > 0.2


@pytest.mark.parametrize("style", ["beside", "overlay"])
def test_the_scale_has_the_colour_that_zero_has_in_the_maps(style):
    found = explanation()
    found.pixels[:] = 0.5
    figure = found.plot(style=style)
    zero_of_map = figure.axes[1].images[0].get_array()[0, 5]
    zero_of_scale = figure.axes[-2].images[0].get_array()[0, 128]
    np.testing.assert_allclose(zero_of_map, zero_of_scale)


def test_the_colours_of_signed_maps_can_be_chosen():
    figures = [explanation().plot(colours=colours) for colours in ("RdBu_r", "PuOr")]
    cdam, gradcam, scale = zip(
        *([figure.axes[i].images[0].get_array() for i in (1, 2, -2)] for figure in figures), strict=True
    )
    assert np.abs(cdam[0] - cdam[1]).max() > 0.2
    np.testing.assert_array_equal(*gradcam)
    assert np.abs(scale[0] - scale[1]).max() > 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": "column"}, "map or row"),
        ({"clip": 95}, "between 0 and 1"),
        ({"style": "side"}, "beside or overlay"),
        ({"colours": "RdBu_"}, "RdBu"),
        ({"clip": float("nan")}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        explanation().plot(**arguments)
