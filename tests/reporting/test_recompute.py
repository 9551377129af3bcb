"""Maps are made again for the images, targets and weights of the results, method by method."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf

from cdam_bench.benchmark.job import Job
from cdam_bench.errors import UserError
from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.recompute import explain_again, settings_of
from tests.runs import cdam_bench

OLD_RESULTS = Path(__file__).parent / "results_0_1_0"
PATHS = OmegaConf.create({"data_dir": "data", "weights_dir": "weights"})
RUNTIME = OmegaConf.create({"device": "cpu", "batch_size": "auto"})


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for estimator in ("cdam", "attention_map"):
        assert cdam_bench(folder, f"estimator={estimator}", "dataset.num_images=2") == 0
    return folder


@pytest.fixture(params=["this version", "0.1.0"])
def changeable(results, tmp_path, request):
    """A copy of results, of this version and of 0.1.0, which wrote no indices of the targets."""
    shutil.copytree(results if request.param == "this version" else OLD_RESULTS, tmp_path / "results")
    return tmp_path / "results"


def explain(results, num_images=1):
    (comparison,) = read_comparisons(results)
    return explain_again(comparison, num_images, PATHS, RUNTIME)


def change_settings(results, estimator, change):
    """Alter what the cell of an estimator says about itself."""
    file = results / "cells" / "digits_multi" / "digits_vit" / estimator / "cell.yaml"
    description = yaml.safe_load(file.read_text())
    change(description["identity"])
    file.write_text(yaml.safe_dump(description, sort_keys=False))


def test_maps_are_those_that_were_measured(results):
    (comparison,) = read_comparisons(results)
    (explained,), problems = explain(results)
    assert problems == []
    for cell in comparison.cells:
        near_zero = np.abs(explained.maps[cell.key.estimator][0])
        share = (near_zero <= 0.05 * near_zero.max()).mean()
        assert share == pytest.approx(cell.scores["compactness"][0])


def test_maps_of_a_contrast_are_those_that_were_measured(results, tmp_path):
    contrast = "contrast={gamma:0.6,num_classes:3}"
    assert cdam_bench(tmp_path, "estimator=cdam", "dataset.num_images=2", contrast) == 0
    (plain,), _ = explain(results)
    (explained,), problems = explain(tmp_path)
    assert problems == []
    maps = explained.maps["cdam_contrast"]
    assert not np.allclose(maps, plain.maps["cdam"], rtol=0.01)
    (comparison,) = read_comparisons(tmp_path)
    for values, column in zip(maps, ("compactness", "other_compactness"), strict=True):
        near_zero = (np.abs(values) <= 0.05 * np.abs(values).max()).mean()
        assert near_zero == pytest.approx(comparison.cells[0].scores[column][0])


def test_targets_and_their_logits_are_read_from_the_scores_even_where_the_logits_order_them_otherwise(changeable):
    (before,), _ = explain(changeable)
    for file in changeable.glob("cells/*/*/*/scores.csv"):
        with file.open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        for row in rows:  # as if rounding had swapped two that are nearly tied
            for end in ("", "_logit", "_index"):
                if f"target{end}" in row:
                    row[f"target{end}"], row[f"other{end}"] = row[f"other{end}"], row[f"target{end}"]
        with file.open("w", newline="") as lines:
            writer = csv.DictWriter(lines, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    (after,), problems = explain(changeable)
    assert problems == []
    assert before.targets != after.targets == before.targets[::-1]
    assert after.logits == before.logits[::-1]
    assert after.boxes.tolist() == before.boxes[::-1].tolist()
    assert after.maps["cdam"] == pytest.approx(before.maps["cdam"][::-1], abs=1e-6)


def test_a_method_that_cannot_be_built_loses_its_own_maps_alone(changeable):
    change_settings(
        changeable, "attention_map", lambda identity: identity.update(estimator={"_target_": "gone.Method"})
    )
    (explained,), problems = explain(changeable)
    assert "cdam" in explained.maps
    assert "attention_map" not in explained.maps
    (problem,) = problems
    assert problem.startswith("no maps of Attention map on digits_multi · digits_vit: ")
    assert "gone" in problem
    assert "\n" not in problem


def test_without_any_method_there_is_nothing_to_draw(results, tmp_path):
    shutil.copytree(results, tmp_path / "results")
    for estimator in ("cdam", "attention_map"):
        change_settings(tmp_path / "results", estimator, lambda identity: identity["estimator"].update(nonsense=1))
    explained, problems = explain(tmp_path / "results")
    assert explained == []
    assert len(problems) == 2


def test_the_images_of_an_unfinished_cell_are_those_it_has(tmp_path):
    shutil.copytree(OLD_RESULTS, tmp_path / "results")
    for estimator in ("cdam", "attention_map"):
        shutil.rmtree(tmp_path / "results" / "cells" / "digits_multi" / "digits_vit" / estimator)
    (comparison,) = read_comparisons(tmp_path / "results")
    explained, problems = explain(tmp_path / "results", num_images=9)
    assert problems == []
    assert [image.image_id for image in explained] == list(comparison.cells[0].scores["image"])
    assert len(explained) == 4


def test_settings_of_a_cell_build_what_the_run_built(results):
    (comparison,) = read_comparisons(results)
    job = Job.prepare(settings_of(comparison.cells[0], PATHS, RUNTIME), comparison.cells[0].key)
    assert (len(job.dataset), job.target_order, type(job.estimator).__name__) == (2, "logit", "CDAM")


def test_maps_of_other_weights_than_the_results_are_not_shown(results):
    (comparison,) = read_comparisons(results)
    comparison.cells[0].description["identity"]["backbone"]["checkpoint"]["sha256"] = "0" * 64
    with pytest.raises(UserError, match="weights here are not those of the results"):
        explain_again(comparison, 1, PATHS, RUNTIME)
