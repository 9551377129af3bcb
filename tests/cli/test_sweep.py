"""A sweep loses nothing: what fails, is stopped or runs twice harms no other cell, and the status tells of it."""

import shutil
from pathlib import Path

import pytest

from cdam_bench.benchmark.job import Job
from cdam_bench.benchmark.run import starting_anywhere
from cdam_bench.estimators import GradCAM
from cdam_bench.metrics import BoxSensitivity
from cdam_bench.store.status import read_status, status_table
from tests.runs import cdam_bench, exit_status, files_below, in_a_child, tables_of

FOLDER = Path("cells") / "digits_multi" / "digits_vit"


def states(results):
    return {cell.estimator: (cell.state, cell.done) for cell in read_status(results)}


@pytest.fixture
def broken_gradcam(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("the GPU fell off the bus\nand more lines")

    monkeypatch.setattr(GradCAM, "attribute", fail)


@pytest.mark.usefixtures("broken_gradcam")
def test_a_failed_cell_does_not_stop_the_others_and_is_listed_at_the_end(tmp_path, capsys):
    assert cdam_bench(tmp_path, "-m", "estimator=gradcam,cdam") == 2
    assert states(tmp_path) == {"cdam": ("done", 6), "gradcam": ("failed", 0)}
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("failed: ", "1 of 2"))]
    assert told[0] == "failed: digits_multi · digits_vit · gradcam: the GPU fell off the bus; and more lines"
    assert told[1].startswith("1 of 2 cells failed")


@pytest.mark.usefixtures("broken_gradcam")
def test_the_error_is_kept_beside_the_cell_until_it_succeeds(tmp_path, monkeypatch):
    cdam_bench(tmp_path, "-m", "estimator=gradcam")
    kept = (tmp_path / FOLDER / "gradcam" / "errors" / "0of1.yaml").read_text()
    assert "RuntimeError: the GPU fell off the bus" in kept  # the traceback
    (cell,) = read_status(tmp_path)
    assert cell.error == "the GPU fell off the bus; and more lines"
    assert cell.error in status_table([cell])
    monkeypatch.undo()
    assert cdam_bench(tmp_path, "-m", "estimator=gradcam") == 0
    assert not (tmp_path / FOLDER / "gradcam" / "errors").exists()
    assert states(tmp_path) == {"gradcam": ("done", 6)}


def test_a_mistake_in_a_sweep_is_kept_too_though_nothing_of_the_cell_was_begun(tmp_path):
    assert cdam_bench(tmp_path, "-m", "estimator=smooth_cdam", "estimator.num_samples=-1") == 2
    (cell,) = read_status(tmp_path)
    assert (cell.state, cell.images) == ("failed", None)
    assert cell.error.startswith("estimator.num_samples=-1: must be a positive")


def test_a_finished_cell_stays_done_when_a_later_run_fails(tmp_path):
    assert cdam_bench(tmp_path, "estimator=cdam") == 0
    assert cdam_bench(tmp_path, "-m", "estimator=cdam", "seed=1") == 2
    (cell,) = read_status(tmp_path)
    assert cell.state == "done"
    assert "a later run failed" in status_table([cell])


def test_cells_of_a_sweep_that_are_not_begun_are_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(Job, "prepare", lambda *_: (_ for _ in ()).throw(SystemExit(1)))
    cdam_bench(tmp_path, "-m", "estimator=cdam,gradcam", "dataset=digits,digits_multi", "shards=2")
    found = {(cell.dataset, cell.estimator, cell.state) for cell in read_status(tmp_path)}
    assert found == {(d, e, "missing") for d in ("digits", "digits_multi") for e in ("cdam", "gradcam")}


def test_shards_alone_runs_all_shards_of_a_sweep(tmp_path, monkeypatch):
    shards = []
    prepare = Job.prepare
    monkeypatch.setattr(Job, "prepare", lambda config, key: shards.append(config.shard) or prepare(config, key))
    assert cdam_bench(tmp_path, "-m", "estimator=cdam,attention_map", "shards=8", "chunk_size=1") == 0
    assert shards == sorted(shards)
    assert set(shards) == set(range(6))  # 6 images: shards 6 and 7 have none, and find the cell done
    assert cdam_bench(tmp_path / "whole", "-m", "estimator=cdam,attention_map", "chunk_size=1") == 0
    assert tables_of(tmp_path, ("cdam", "attention_map")) == tables_of(tmp_path / "whole", ("cdam", "attention_map"))


def test_shards_and_their_twins_at_the_same_time_in_any_order_give_the_same_tables(tmp_path):
    assert cdam_bench(tmp_path / "whole", "estimator=cdam", "chunk_size=1") == 0

    def shard(number):
        settings = ("estimator=cdam", "chunk_size=1", "shards=3", f"shard={number}")
        return in_a_child(lambda: cdam_bench(tmp_path / "parts", *settings))

    children = [shard(number) for number in (2, 0, 0, 1, 2, 0)]
    assert [exit_status(child) for child in children] == [0] * 6
    assert tables_of(tmp_path / "parts", ["cdam"]) == tables_of(tmp_path / "whole", ["cdam"])
    left = {path.parts[0] for path in map(Path, files_below(tmp_path / "parts" / FOLDER / "cdam"))}
    assert left == {"cell.yaml", "chunks", "scores.csv", "curves.npz"}


def test_starting_anywhere_does_every_chunk_once():
    spans = [(start, start + 2) for start in range(0, 20, 2)]
    turns = [starting_anywhere(spans) for _ in range(50)]
    assert all(sorted(turn) == spans for turn in turns)
    assert len({turn[0] for turn in turns}) > 1


def test_a_chunk_that_a_twin_finished_meanwhile_is_not_computed_again(tmp_path, monkeypatch):
    """In the middle of the first chunk, all the others appear."""
    twin, results = tmp_path / "twin", tmp_path / "results"
    assert cdam_bench(twin, "estimator=cdam") == 0
    computed, measure = [], Job.measure

    def overtaken(self, start, stop, *rest):
        computed.append(start)
        shutil.copytree(twin / FOLDER / "cdam" / "chunks", results / FOLDER / "cdam" / "chunks")
        return measure(self, start, stop, *rest)

    monkeypatch.setattr(Job, "measure", overtaken)
    assert cdam_bench(results, "estimator=cdam") == 0
    assert computed == [0]
    assert tables_of(results, ["cdam"]) == tables_of(twin, ["cdam"])


def test_box_responses_are_computed_once_by_jobs_that_follow_each_other_in_any_order(tmp_path, monkeypatch):
    calls, prepare = [], BoxSensitivity.prepare
    monkeypatch.setattr(BoxSensitivity, "prepare", lambda self, subject: calls.append(1) or prepare(self, subject))
    for estimator, shard in (("cdam", 2), ("gradcam", 0), ("gradcam", 2), ("cdam", 0), ("cdam", 1), ("gradcam", 1)):
        assert cdam_bench(tmp_path, f"estimator={estimator}", "shards=3", f"shard={shard}") == 0
    assert len(calls) == 3  # chunks
