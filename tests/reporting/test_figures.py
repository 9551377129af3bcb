"""Figures are files: the same bytes every time, none that is outdated, and a line for what could not be drawn."""

import numpy as np
import pytest
from omegaconf import OmegaConf

from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.figures import captions, comparison_figures, write_figures
from tests.reporting.stores import SETTINGS, write_cell

SCORES = {"A_MIF": np.arange(6.0)}
NAMES = ["scores", "fidelity_pixel", "fidelity_pixel_methods"]


def write(store, num_images=0):
    nowhere = OmegaConf.create({"data_dir": "nowhere", "weights_dir": "nowhere"})
    runtime = OmegaConf.create({"device": "cpu", "batch_size": "auto"})
    return write_figures(read_comparisons(store), store / "figures", num_images, nowhere, runtime)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    for estimator in ("gradcam", "cdam", "my_method"):
        write_cell(store, estimator, SCORES, targets=2, curves=("fidelity_pixel",))
    write_cell(store, "smoothgrad", SCORES, targets=2, curves=("fidelity_pixel",), done=4)
    return store


def test_every_figure_is_written_as_png_and_pdf_the_same_bytes_every_time(store):
    paths, problems = write(store)
    assert problems == []
    assert {path.name for path in paths} == {f"{name}.{extension}" for name in NAMES for extension in ("png", "pdf")}
    before = [path.read_bytes() for path in paths]
    assert all(content[:4] in (b"\x89PNG", b"%PDF") for content in before)
    assert [path.read_bytes() for path in write(store)[0]] == before


def test_every_figure_has_a_caption_that_says_of_how_many_images_it_is(store):
    (comparison,) = read_comparisons(store)
    found = captions(comparison)
    assert list(found) == ["maps", *NAMES]
    assert [name for name, _ in comparison_figures(comparison, [])] == NAMES
    assert "mean over 6 or 4 of 6 images" in found["scores"]
    for name in NAMES[1:]:
        assert "Mean over 6 images; bands: 95 % bootstrap interval" in found[name]
    assert "Broken lines: the other class’s map" in found["fidelity_pixel_methods"]


def test_figures_of_a_curve_that_is_gone_are_removed_and_other_files_stay(tmp_path):
    write_cell(tmp_path, "cdam", SCORES, curves=("box_r",))
    folder = write(tmp_path)[0][0].parent
    (folder / "mine.png").write_bytes(b"mine")
    assert (folder / "box_sensitivity.png").exists()
    (tmp_path / "cells").rename(tmp_path / "before")
    write_cell(tmp_path, "cdam", SCORES, curves=())
    write(tmp_path)
    assert {path.stem for path in folder.glob("*.p*")} == {"scores", "mine"}


def test_configurations_of_one_dataset_have_files_of_their_own(tmp_path):
    write_cell(tmp_path, "cdam", SCORES, curves=())
    write_cell(tmp_path, "gradcam", SCORES, curves=(), settings={"seed": SETTINGS["seed"] + 1})
    names = {path.stem for path in write(tmp_path)[0]}
    assert names == {f"scores_{comparison.variant}" for comparison in read_comparisons(tmp_path)}
    assert len(names) == 2


def test_a_grid_that_cannot_be_made_is_told_and_the_curves_are_still_there(tmp_path):
    write_cell(tmp_path, "cdam", SCORES, curves=("box_r",))
    # this made-up cell names no dataset that could be built
    written, problems = write(tmp_path, num_images=2)
    assert {path.stem for path in written} == {"scores", "box_sensitivity"}
    (problem,) = problems
    assert problem.startswith("no maps of digits · digits_vit: ")
