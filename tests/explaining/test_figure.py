"""The figure of an explanation: what it says, and that it can be read."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

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


def test_plain_maps_are_the_figures_panels_and_nothing_else():
    found = explanation()
    figure, plain = found.plot(clip=0.9), found.heat_maps(clip=0.9)
    panels = [axes.images[0].get_array() for axes in figure.axes]  # image, cdam and gradcam of each target in turn
    for number, (target, estimator) in enumerate([("zebra", "cdam"), ("zebra", "gradcam"), ("4", "cdam")], 1):
        assert plain[estimator][target].dtype == np.uint8
        np.testing.assert_allclose(plain[estimator][target] / 255, panels[number], atol=0.5 / 255 + 1e-6)


def test_plain_maps_are_saved_a_file_each_of_the_pictures_size(tmp_path):
    found = explanation()
    files = found.save(tmp_path, style="maps", scale="row")
    names = {f"two_{estimator}_{target}.png" for estimator in ("cdam", "gradcam") for target in ("zebra", "4")}
    assert (
        {path.name for path in tmp_path.iterdir()} == names | {"two.npz", "two.json"} == {path.name for path in files}
    )
    with Image.open(tmp_path / "two_cdam_zebra.png") as saved:
        assert (saved.size, saved.mode) == ((16, 16), "RGB")
        np.testing.assert_array_equal(np.asarray(saved), found.heat_maps(scale="row")["cdam"]["zebra"])


def test_names_of_targets_that_no_file_can_have_are_changed_and_stay_different(tmp_path):
    found = explanation()
    targets = [Target(0, "a/b", 1.0, 0.5), Target(1, "a b", 1.0, 0.5)]
    maps = {"cdam": {target.name: np.eye(16) for target in targets}}
    replace(found, targets=targets, maps=maps).save(tmp_path, style="maps")
    assert {path.name for path in tmp_path.glob("*.png")} == {"two_cdam_a_b.png", "two_cdam_a_b_1.png"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"style": "maps"}, "save"),
        ({"scale": "column"}, "map or row"),
        ({"clip": 95}, "between 0 and 1"),
        ({"style": "side"}, "beside, overlay or maps"),
        ({"colours": "RdBu_"}, "RdBu"),
        ({"clip": float("nan")}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        explanation().plot(**arguments)
