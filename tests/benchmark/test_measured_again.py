"""A finished cell is measured again in the metrics it lacks, and in nothing else."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cdam_bench.benchmark.job import Job
from cdam_bench.estimators import SmoothCDAM
from cdam_bench.metrics import BoxSensitivity, Compactness, Fidelity, Localisation
from cdam_bench.store.cells import Cell, CellKey
from cdam_bench.store.results import read_cells
from tests import runs
from tests.benchmark.test_crashes import Death
from tests.runs import cdam_bench, exit_status, files_below, in_a_child

FEW = ("estimator.num_samples=3", "metric.fidelity.steps=3", "metric.box_sensitivity.num_boxes=5")
BEGUN = (*FEW, "metric.compactness=null")  # fidelity, boxes and localisation
KEY = CellKey("digits_multi", "digits_vit", "smooth_cdam")
METRICS = {"fidelity": Fidelity, "box_sensitivity": BoxSensitivity, "localisation": Localisation}
AGAIN = {  # what is asked for → the metric that is measured, and its setting for a fresh run
    "added": (FEW, "compactness"),
    "changed": ((*FEW[:1], "metric.fidelity.steps=5", *FEW[2:], "metric.compactness=null"), "fidelity"),
    "changed and shared": (
        (*FEW[:2], "metric.box_sensitivity.num_boxes=6", "metric.compactness=null"),
        "box_sensitivity",
    ),
}
OWN = {  # columns of a metric, for whichever target
    "compactness": ("compactness",),
    "fidelity": ("A_MIF", "A_LIF", "A_LIF-MIF"),
    "box_sensitivity": ("A_box", "mean_r"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    results = tmp_path_factory.mktemp("finished")
    assert cdam_bench(results, *BEGUN) == 0
    return results


@pytest.fixture
def results(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "results"))


def columns_of(results: Path) -> dict[str, tuple[str, ...]]:
    """scores.csv as text, column by column."""
    with (KEY.folder(results) / "scores.csv").open(newline="") as file:
        heading, *rows = csv.reader(file)
    return dict(zip(heading, zip(*rows, strict=True), strict=True))


def curves_of(results):
    (cell,) = read_cells(results)
    return cell.curves()


def belongs(column, metric):
    return any(column.endswith(own) for own in OWN[metric])


def assert_same_cell(results, fresh):
    """The numbers of a cell that was made at once; its columns may stand in another order."""
    found, expected = columns_of(results), columns_of(fresh)
    assert found.keys() == expected.keys()
    for name, texts in expected.items():
        try:
            numbers = np.array([float(text or "nan") for text in texts])
        except ValueError:
            assert found[name] == texts
            continue
        np.testing.assert_allclose([float(text or "nan") for text in found[name]], numbers, rtol=1e-12, atol=1e-12)
    (curves, axes), (others, other_axes) = curves_of(results), curves_of(fresh)
    assert axes == other_axes
    assert curves.keys() == others.keys()
    assert all(np.array_equal(curves[name], others[name]) for name in curves)
    again, anew = (Cell(folder, KEY).description for folder in (results, fresh))
    assert again["identity"] == anew["identity"]
    assert again["metrics"] == anew["metrics"]


@pytest.mark.parametrize("case", AGAIN)
def test_other_columns_stay_byte_for_byte_and_the_new_ones_are_those_of_a_fresh_run(case, results, tmp_path):
    settings, metric = AGAIN[case]
    before, (curves, _) = columns_of(results), curves_of(results)
    assert cdam_bench(results, *settings) == 0
    after, (curves_after, _) = columns_of(results), curves_of(results)
    kept = [name for name in before if not belongs(name, metric)]
    assert "image" in kept
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert {name for name in after if name not in before} <= {name for name in after if belongs(name, metric)}
    for name in curves:
        if not name.startswith({"box_sensitivity": "box"}.get(metric, metric)):
            assert np.array_equal(curves[name], curves_after[name])
    assert cdam_bench(tmp_path / "fresh", *settings) == 0
    assert_same_cell(results, tmp_path / "fresh")


@pytest.mark.parametrize("case", AGAIN)
def test_the_other_metrics_and_what_is_shared_are_not_computed_again(case, results, monkeypatch):
    settings, metric = AGAIN[case]
    calls = []

    def counted(owner, name):
        original = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, **k: calls.append(f"{owner.__name__}.{name}") or original(*a, **k))

    for one in (*METRICS.values(), Compactness):
        counted(one, "measure")
    counted(BoxSensitivity, "prepare")
    counted(Job, "logits")
    counted(SmoothCDAM, "attribute")
    assert cdam_bench(results, *settings) == 0
    asked = {**METRICS, "compactness": Compactness}[metric]
    expected = {f"{asked.__name__}.measure", "SmoothCDAM.attribute"}
    assert set(calls) == expected | ({"BoxSensitivity.prepare"} if metric == "box_sensitivity" else set())
    assert calls.count(f"{asked.__name__}.measure") == 3  # chunks


def with_metrics_alone(results, chosen, *settings):
    """A run that chooses its metrics by name; the settings of the others do not go with it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "SMALL", tuple(word for word in runs.SMALL if not word.startswith("metric.")))
        return cdam_bench(results, FEW[0], f"metric=[{chosen}]", *settings)


def test_asking_for_fewer_metrics_than_there_are_changes_nothing(results, capsys):
    before = files_below(results)
    assert cdam_bench(results, *BEGUN, "metric.fidelity=null") == 0
    assert "done before, 6 images" in capsys.readouterr().out
    assert with_metrics_alone(results, "localisation") == 0
    assert "done before, 6 images" in capsys.readouterr().out
    assert files_below(results) == before


def test_metrics_that_are_not_asked_for_stay(results, tmp_path):
    assert with_metrics_alone(results, "compactness") == 0
    assert cdam_bench(tmp_path / "fresh", *FEW) == 0
    assert_same_cell(results, tmp_path / "fresh")


def test_shards_measure_again_together(results, tmp_path):
    settings, _ = AGAIN["changed"]
    before = columns_of(results)
    assert cdam_bench(results, *settings, "shards=2", "shard=1") == 0
    assert columns_of(results) == before
    assert cdam_bench(results, *settings, "shards=2", "shard=0") == 0
    assert cdam_bench(tmp_path / "fresh", *settings) == 0
    assert_same_cell(results, tmp_path / "fresh")


def test_an_unfinished_cell_with_other_settings_of_a_metric_is_refused_in_one_line(tmp_path, capsys):
    assert cdam_bench(tmp_path, *BEGUN, "shards=2") == 0
    before = files_below(tmp_path)
    capsys.readouterr()
    for settings, told in ((FEW, "compactness"), (AGAIN["changed"][0], "metric.fidelity.steps: 3 → 5")):
        assert cdam_bench(tmp_path, *settings) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line
        assert "overwrite=true" in line
    assert files_below(tmp_path) == before


def test_targets_are_those_of_the_cell_whatever_the_logits_say_now(results, tmp_path, monkeypatch):
    """As on a machine that rounds otherwise: what is shared is gone, and the order of the logits is reversed."""
    later = f"+metric.later={{_target_: {__name__}.Later}}"
    assert cdam_bench(tmp_path / "fresh", *BEGUN, later) == 0
    shutil.rmtree(results / "shared")
    logits = Job.logits
    monkeypatch.setattr(Job, "logits", lambda self, images: -logits(self, images))
    before = columns_of(results)
    assert cdam_bench(results, *BEGUN, later) == 0
    after, fresh = columns_of(results), columns_of(tmp_path / "fresh")
    assert {name: after[name] for name in before} == before
    for name in ("first_target", "first_box"):
        assert after[name] == fresh[name]


class Later(Compactness):
    """Says which target and which box it was shown first."""

    def measure(self, subject, maps):
        measurement = super().measure(subject, maps)
        boxes = torch.zeros(len(maps)) if subject.boxes is None else subject.boxes[:, 0, 0]
        measurement.scores.clear()
        measurement.scores.update(first_target=subject.targets[:, 0].double(), first_box=boxes.double())
        return measurement


def test_a_damaged_chunk_is_measured_in_every_metric(results, tmp_path):
    file = sorted((KEY.folder(results) / "chunks").iterdir())[1]
    file.write_bytes(file.read_bytes()[:-200])
    settings, _ = AGAIN["added"]
    assert cdam_bench(results, *settings) == 0
    assert cdam_bench(tmp_path / "fresh", *settings) == 0
    assert_same_cell(results, tmp_path / "fresh")


def _dying_at(step, results, settings):
    """Measure again in a child process that is killed at a step; whether it lived."""

    def work():
        with pytest.MonkeyPatch.context() as patch:
            Death(step).lie_in_wait(patch)
            return cdam_bench(results, *settings)

    return exit_status(in_a_child(work)) == 0


def test_killed_anywhere_while_it_measures_again_a_cell_stays_readable_and_ends_the_same(finished, tmp_path):
    settings, _ = AGAIN["changed"]
    settings = (*settings, "metric.localisation=null")  # which it has: also then the same command goes on
    whole = Path(shutil.copytree(finished, tmp_path / "whole"))
    with pytest.MonkeyPatch.context() as patch:
        counter = Death()
        counter.lie_in_wait(patch)
        assert cdam_bench(whole, *settings) == 0
    old, new = columns_of(finished), columns_of(whole)
    last = counter.steps
    for step in (*range(10, last - 34, last // 4), *range(last - 34, last, 5)):
        results = Path(shutil.copytree(finished, tmp_path / str(step)))
        assert not _dying_at(step, results, settings)
        (cell,) = read_cells(results)
        assert cell.scores["image"].tolist() == list(old["image"])
        if cell.is_complete and cell.description["identity"]["metric"]["fidelity"]["steps"] == 3:
            assert columns_of(results) == old
        assert cdam_bench(results, *settings) == 0
        assert columns_of(results) == new
        assert Cell(results, KEY).is_complete
        assert "measured_again" not in Cell(results, KEY).description
