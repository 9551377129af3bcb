"""The scripts turn a results folder that the runner filled into tables, figures and a page."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from cdam_bench.benchmark.job import Job
from cdam_bench.errors import UserError
from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.recompute import explain_again, settings_of
from tests.runs import cdam_bench

SCRIPTS = Path(__file__).parents[2] / "scripts"
PATHS = OmegaConf.create({"data_dir": "data", "weights_dir": "weights"})
RUNTIME = OmegaConf.create({"device": "cpu", "batch_size": "auto"})


def script(name, results_dir, *overrides):
    """Run a script as its command line does; returns the exit status."""
    task = runpy.run_path(str(SCRIPTS / f"{name}.py"))[name]
    return cdam_bench(results_dir, *overrides, task=task, config_name=name)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for estimator in ("cdam", "attention_map"):
        assert cdam_bench(folder, f"estimator={estimator}", "dataset.num_images=2") == 0
    return folder


def test_make_tables_writes_and_prints_them(results, capsys):
    assert script("make_tables", results) == 0
    printed = capsys.readouterr().out
    folder = results / "tables" / "digits_multi" / "digits_vit"
    for table in ("correctness", "class_discrimination", "compactness"):
        assert (folder / f"{table}.md").read_text() in printed
        assert str(folder / f"{table}.csv") in printed
    discrimination = (folder / "class_discrimination.md").read_text()
    assert "| Attention map | 0.0 [0.0, 0.0] |" in discrimination


def test_one_dataset_alone_can_be_asked_for(results, capsys):
    assert script("make_tables", results, "only=digits_multi", f"output_dir={results / 'one'}") == 0
    assert (results / "one" / "digits_multi").is_dir()
    capsys.readouterr()
    assert script("make_tables", results, "only=digit") == 2
    assert "no results of dataset digit: did you mean digits_multi?" in capsys.readouterr().err


def test_make_report_shows_tables_figures_and_what_was_run(results):
    assert script("make_report", results, "num_images=1") == 0
    page = results / "report" / "index.md"
    text = page.read_text()
    links = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert {Path(link).stem for link in links} == {
        "maps",
        "fidelity_pixel",
        "fidelity_pixel_methods",
        "box_sensitivity",
    }
    assert all((page.parent / link).is_file() for link in links)
    assert "### Correctness" in text
    assert re.search(r"\| CDAM \| 2 \| \d", text)


@pytest.mark.parametrize("name", ["make_tables", "make_figures", "make_report"])
def test_an_empty_results_folder_gives_one_line_and_status_2(name, tmp_path, capsys):
    assert script(name, tmp_path / "empty") == 2
    told = capsys.readouterr().err.strip()
    assert "\n" not in told
    assert "python -m cdam_bench" in told
    assert not (tmp_path / "empty").exists()


def test_maps_are_those_that_were_measured(results):
    (comparison,) = read_comparisons(results)
    (explained,) = explain_again(comparison, 1, PATHS, RUNTIME)
    cell = comparison.cells[0]
    assert explained.targets == [str(cell.scores[name][0]) for name in ("target", "other")]
    assert explained.logits[0] == pytest.approx(cell.scores["target_logit"][0], rel=1e-4)
    for cell in comparison.cells:
        near_zero = np.abs(explained.maps[cell.key.estimator][0])
        share = (near_zero <= 0.05 * near_zero.max()).mean()
        assert share == pytest.approx(cell.scores["compactness"][0])


def test_settings_of_a_cell_build_what_the_run_built(results):
    (comparison,) = read_comparisons(results)
    job = Job.prepare(settings_of(comparison.cells[0], PATHS, RUNTIME), comparison.cells[0].key)
    assert (len(job.dataset), job.target_order, type(job.estimator).__name__) == (2, "logit", "CDAM")


def test_maps_of_other_weights_than_the_results_are_not_shown(results):
    (comparison,) = read_comparisons(results)
    comparison.cells[0].description["identity"]["backbone"]["checkpoint"]["sha256"] = "0" * 64
    with pytest.raises(UserError, match="weights here are not those of the results"):
        explain_again(comparison, 1, PATHS, RUNTIME)
