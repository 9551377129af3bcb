"""Grids of maps: every image, target and estimator, what the numbers are, and which scale is whose."""

from dataclasses import replace

import numpy as np
import pytest

from cdam_bench.drawing.grids import Explained, map_grid, output_grid, shown_estimator
from cdam_bench.drawing.names import PAPERS, display_name
from tests.drawing.overlaps import all_texts, troubles

UNSIGNED = {"attention_map": False, "gradcam": False, "partial_lrp": False, "relevance_propagation": False}


def explained(estimators, targets=("4", "elephant"), **changes):
    maps = np.abs(np.random.default_rng(0).normal(size=(len(targets), 16, 16)))
    values = [3.4, -1.0, 0.2, 0.1, 0.0, 2.0, 1.0, -2.0][: len(targets)]
    image = Explained(
        "set-7", np.zeros((16, 16, 3)), list(targets), values, None, dict.fromkeys(estimators, maps), signed=UNSIGNED
    )
    return replace(image, **changes)


def test_the_grid_has_every_image_target_and_estimator():
    estimators = [*PAPERS, "mine"]
    image = explained(estimators)
    figure = map_grid([image, image], "title")
    blocks, rows = 3, 4  # 11 estimators, five to a block
    assert len(figure.axes) == rows * (len(estimators) + blocks) + 2
    texts = all_texts(figure)
    assert all(display_name(estimator) in texts for estimator in estimators)
    assert troubles(figure) == []


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [("classes", "4, logit 3.4"), ("concepts", "4, similarity 3.4"), ("quantities", "4, value 3.4")],
)
def test_a_number_beside_a_target_says_what_it_is(outputs, expected):
    texts = all_texts(map_grid([explained(["cdam"], outputs=outputs)], "title"))
    assert expected in texts
    assert expected.replace("4,", "elephant,").replace("3.4", "−1.0") in texts


def test_methods_that_cannot_speak_against_a_class_have_their_own_colours_and_scale():
    figure = map_grid([explained(["cdam", "gradcam"])], "title")
    texts = set(all_texts(figure))
    assert {"−max |S| counter-evidence", "0", "max |S| evidence", "max |S| importance"} <= texts
    _, signed, unsigned = (axes.images[0].get_array() for axes in figure.axes[:3])  # the same scores
    assert np.abs(signed - unsigned).max() > 0.2


@pytest.mark.parametrize(("estimator", "word"), [("cdam", "evidence"), ("gradcam", "importance")])
def test_a_grid_of_one_kind_of_maps_has_one_scale(estimator, word):
    figure = map_grid([explained([estimator])], "title")
    texts = all_texts(figure)
    assert len(figure.axes) == 2 * 2 + 1
    assert any(word in text for text in texts)
    assert any("evidence" in text for text in texts) is (estimator == "cdam")


def test_an_output_grid_shows_the_image_its_attention_and_every_output():
    names = [f"biomarker {k}" for k in range(8)]
    mask = np.zeros((16, 16), bool)
    mask[4:9, 4:9] = True
    image = explained(["attention_map", "gradcam", "cdam"], names, mask=mask, outputs="quantities")
    figure = output_grid([image, image], "phantoms")
    panels, texts = figure.axes[:-2], all_texts(figure)
    assert len(panels) == 2 * (2 + 8)
    assert all(axes.collections for axes in panels)  # the outline
    assert sum(text == "biomarker 1 value −1.0" for text in texts) == 2
    assert "phantoms: CDAM of each output" in texts
    assert troubles(figure) == []


def test_the_outputs_are_those_of_cdam_where_there_is_one():
    assert shown_estimator(["attention_map", "gradcam", "smooth_cdam", "cdam"]) == "cdam"
    assert shown_estimator(["attention_map", "gradcam"]) == "gradcam"
    assert shown_estimator(["attention_map"]) == "attention_map"
