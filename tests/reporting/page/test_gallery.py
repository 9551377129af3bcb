"""The gallery shows the maps that were measured; what is not here is said in a line, and the page has all the rest."""

import base64
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib import colormaps
from PIL import Image

from cdam_bench.drawing.maps import SIGNED
from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.page.data import Gallery
from cdam_bench.reporting.page.pictures import jpeg, map_png
from cdam_bench.reporting.recompute import explain_again
from tests.reporting.page.pages import PATHS, RUNTIME, page_of

RESULTS = Path(__file__).parents[1] / "results_0_1_0"
PATCH = 8


def pixels(uri):
    kind, _, data = uri.partition(";base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert kind == f"data:image/{picture.format.lower()}"
    return np.asarray(picture.convert("RGB"), dtype=float)


@pytest.fixture
def store(tmp_path):
    shutil.copytree(RESULTS, tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    store = tmp_path_factory.mktemp("gallery") / "results"
    shutil.copytree(RESULTS, store)
    page, problems = page_of(store, Gallery(3, 60, PATHS, RUNTIME))
    assert problems == []
    (comparison,) = page["comparisons"]
    return comparison


def test_maps_have_the_colours_of_those_that_were_measured(shown):
    (comparison,) = read_comparisons(RESULTS)
    explained = {one.image_id: one for one in explain_again(comparison, 6, PATHS, RUNTIME)[0]}
    assert len(shown["gallery"]["images"]) == shown["gallery"]["shown"] == 3
    for image in shown["gallery"]["images"]:
        measured = explained[shown["images"]["names"][image["image"]]]
        assert set(image["maps"]) == {"cdam", "attention_map", "gradcam"}
        assert [target["name"] for target in image["targets"]] == measured.targets
        for k, uri in enumerate(image["maps"]["cdam"]):
            scores = measured.maps["cdam"][k][::PATCH, ::PATCH]
            expected = 255 * colormaps["RdBu_r"]((scores / np.abs(scores).max() + 1) / 2)[..., :3]
            assert pixels(uri).shape == expected.shape
            assert np.abs(pixels(uri) - expected).max() < 12  # 64 levels


def test_pictures_are_the_images_and_every_image_has_a_small_one(shown):
    (comparison,) = read_comparisons(RESULTS)
    (first,) = explain_again(comparison, 1, PATHS, RUNTIME)[0]
    place = shown["images"]["names"].index(first.image_id)
    (image,) = [one for one in shown["gallery"]["images"] if one["image"] == place]
    assert np.abs(pixels(image["picture"]) - 255 * first.pixels).mean() < 8
    assert all(pixels(uri).shape[0] <= 64 for uri in shown["images"]["thumbnails"])


def test_a_picture_and_a_map_become_no_larger_than_they_are_shown():
    noise = np.random.default_rng(0).normal(size=(224, 224))
    assert pixels(map_png(noise, SIGNED, 16)).shape[0] <= 96
    assert pixels(jpeg(np.ones((300, 600, 3)), 224)).shape == (112, 224, 3)


def change(store, estimator, edit):
    file = store / "cells" / "digits_multi" / "digits_vit" / estimator / "cell.yaml"
    description = yaml.safe_load(file.read_text())
    edit(description)
    file.write_text(yaml.safe_dump(description, sort_keys=False))


def test_missing_weights_are_one_line_and_the_page_has_all_the_rest(store):
    for estimator in ("cdam", "attention_map", "gradcam"):
        change(store, estimator, lambda one: one["identity"]["backbone"].update(checkpoint="not_here.safetensors"))
    page, problems = page_of(store, Gallery(3, 60, PATHS, RUNTIME))
    (comparison,) = page["comparisons"]
    assert page["notes"] == problems
    assert len(problems) == 1
    assert problems[0].startswith("no pictures of digits_multi · digits_vit: ")
    assert comparison["gallery"] is None
    assert len(comparison["tables"]) >= 3


def test_a_method_whose_class_is_gone_is_one_line_and_the_others_keep_their_maps(store):
    lost = {"_target_": "my_lost_methods.Mine"}
    change(store, "attention_map", lambda one: one["identity"].update(estimator=lost))
    page, problems = page_of(store, Gallery(2, 60, PATHS, RUNTIME))
    gallery = page["comparisons"][0]["gallery"]
    (problem,) = problems
    assert problem.startswith("no maps of Attention map on digits_multi · digits_vit: ")
    assert [one["estimator"] for one in gallery["untold"]] == ["attention_map"]
    assert all(set(image["maps"]) == {"cdam", "gradcam"} for image in gallery["images"])


def test_methods_that_cost_too_much_say_how_much(store):
    for estimator, seconds in (("cdam", 0.001), ("attention_map", 0.001), ("gradcam", 40.0)):
        change(store, estimator, lambda one, s=seconds: one.update(explaining={"seconds": s, "seconds_per_image": s}))
    page, problems = page_of(store, Gallery(2, 5, PATHS, RUNTIME))
    gallery = page["comparisons"][0]["gallery"]
    assert problems == []
    assert gallery["untold"] == [{"estimator": "gradcam", "why": "no maps: those of an image took 40 s"}]
    assert all("gradcam" not in image["maps"] for image in gallery["images"])
