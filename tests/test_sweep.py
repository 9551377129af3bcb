"""A sweep loses nothing: what fails, is stopped or runs twice harms no other cell, and the status tells of it."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from cdam_bench import store
from cdam_bench.benchmark.job import Job
from cdam_bench.benchmark.run import starting_anywhere
from cdam_bench.cli import signals as interruption
from cdam_bench.estimators import GradCAM
from cdam_bench.metrics import BoxSensitivity
from cdam_bench.store import heartbeats as progress
from cdam_bench.store.cells import Cell, CellKey
from cdam_bench.store.heartbeats import Heartbeat, clock_of, running_jobs
from cdam_bench.store.results import read_cells
from cdam_bench.store.status import read_status, status_table
from scripts.merge import merge_results
from scripts.status import status
from tests.runs import cdam_bench, exit_status, files_below, in_a_child, tables_of
from tests.scripts import run_script

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

    def overtaken(self, start, stop, shared):
        computed.append(start)
        shutil.copytree(twin / FOLDER / "cdam" / "chunks", results / FOLDER / "cdam" / "chunks")
        return measure(self, start, stop, shared)

    monkeypatch.setattr(Job, "measure", overtaken)
    assert cdam_bench(results, "estimator=cdam") == 0
    assert computed == [0]
    assert tables_of(results, ["cdam"]) == tables_of(twin, ["cdam"])


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 138)])
def test_a_signal_ends_the_run_in_one_line_and_all_finished_chunks_stay(tmp_path, number, expected):
    def stopped_in_the_second_chunk():
        measure, chunks = Job.measure, tmp_path / FOLDER / "cdam" / "chunks"

        def signalled(self, start, stop, shared):
            if chunks.exists():
                os.kill(os.getpid(), number)
            return measure(self, start, stop, shared)

        Job.measure = signalled
        with (tmp_path / "stderr").open("wb") as file:
            os.dup2(file.fileno(), 2)
        return cdam_bench(tmp_path, "-m", "estimator=cdam,gradcam")

    assert exit_status(in_a_child(stopped_in_the_second_chunk)) == expected
    told = (tmp_path / "stderr").read_text().splitlines()
    assert [line for line in told if "stopped by" in line] == [
        f"stopped by {number.name}: the same command continues where this one stopped"
    ]
    assert "Traceback" not in "".join(told)
    (cell, other) = read_status(tmp_path)
    assert (cell.state, cell.done, cell.images) == ("partial", 2, 6)
    assert other.state == "missing"
    assert not (tmp_path / FOLDER / "cdam" / "running").exists()


@pytest.mark.parametrize(
    ("executor", "state", "number", "requeued"),
    [
        ("slurm", "RUNNING", signal.SIGTERM, True),
        ("slurm", "COMPLETING", signal.SIGTERM, False),
        ("slurm", "PENDING", signal.SIGTERM, False),
        ("slurm", "RUNNING", signal.SIGUSR1, True),
        ("slurm", "RUNNING", signal.SIGUSR2, True),
        ("local", "", signal.SIGTERM, False),
        ("local", "", signal.SIGUSR1, True),
    ],
)
def test_a_job_of_submitit_is_requeued_unless_that_is_decided_already(executor, state, number, requeued, monkeypatch):
    called = []

    def checkpoint_and_try_requeue(signum, _):
        called.append(signum)
        raise SystemExit(-1)

    monkeypatch.setenv("SUBMITIT_EXECUTOR", executor)
    monkeypatch.setenv("SLURM_JOB_ID", "7")

    def squeue(command, **_):
        (states,) = [word.removeprefix("--states=").split(",") for word in command if word.startswith("--states=")]
        assert "--jobs=7" in command
        return subprocess.CompletedProcess(command, 0, stdout=f"{state}\n" if state in states else "")

    monkeypatch.setattr(interruption.subprocess, "run", squeue)
    before = signal.signal(signal.SIGUSR2, checkpoint_and_try_requeue)
    try:
        with pytest.raises(SystemExit) as ended, interruption.stopping_on_signals():
            signal.raise_signal(number)
        assert called == ([number] if requeued else [])
        assert ended.value.code == (-1 if requeued else 128 + number)
        assert signal.getsignal(signal.SIGUSR2) is checkpoint_and_try_requeue
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_requeued_job_does_not_throw_away_its_own_results_again(tmp_path, monkeypatch):
    assert cdam_bench(tmp_path, "estimator=cdam", "seed=1") == 0
    monkeypatch.setenv("SLURM_JOB_ID", "11")
    stopped = Job.measure

    def measure(self, start, stop, shared):
        if start == 4:
            raise SystemExit(1)
        return stopped(self, start, stop, shared)

    monkeypatch.setattr(Job, "measure", measure)
    cdam_bench(tmp_path, "estimator=cdam", "overwrite=true")
    assert states(tmp_path)["cdam"] == ("partial", 4)
    computed = []
    again = lambda self, start, *rest: computed.append(start) or stopped(self, start, *rest)  # noqa: E731
    monkeypatch.setattr(Job, "measure", again)
    assert cdam_bench(tmp_path, "estimator=cdam", "overwrite=true") == 0
    assert computed == [4]
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    assert cdam_bench(tmp_path, "estimator=cdam", "overwrite=true") == 0
    assert computed == [4, 0, 2, 4]


def test_a_heartbeat_is_rewritten_by_itself_says_what_is_done_and_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "BEAT_SECONDS", 0.02)
    with Heartbeat(tmp_path, 1, 8, 30) as heartbeat:
        heartbeat.beat(12)
        before = heartbeat.file.stat().st_mtime_ns
        time.sleep(0.2)
        assert heartbeat.file.stat().st_mtime_ns > before
        (job,) = running_jobs(tmp_path / "running", clock_of(tmp_path))
        assert (job["shard"], job["shards"], job["done"], job["images"]) == (1, 8, 12, 30)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("age", "running"), [(0, True), (100, True), (-100, True), (200, False), (-7200, False)])
def test_a_job_is_running_while_its_heartbeat_is_fresh(tmp_path, age, running):
    cell = Cell(tmp_path, CellKey("digits", "digits_vit", "cdam")).open({}, {"num_images": 5, "chunk_size": 2})
    beat = Heartbeat(cell.path, 0, 1, 5)
    beat.beat(2)
    stamp = time.time() - age
    os.utime(beat.file, (stamp, stamp))
    (found,) = read_status(tmp_path)
    assert (found.state == "running") == running
    assert len(found.jobs) == running


def test_status_as_json_has_a_record_for_every_cell(tmp_path, capsys):
    assert cdam_bench(tmp_path, "estimator=cdam") == 0
    capsys.readouterr()
    assert run_script(status, "status", f"results_dir={tmp_path}", "json=true") == 0
    (cell,) = json.loads(capsys.readouterr().out)
    assert (cell["estimator"], cell["state"], cell["done"], cell["images"], cell["jobs"]) == ("cdam", "done", 6, 6, [])


def test_status_of_nothing_is_one_line(tmp_path, capsys):
    assert run_script(status, "status", f"results_dir={tmp_path / 'gone'}") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "gone is not there" in line


def test_status_needs_no_torch():
    """It imports no more than the store: seconds on a login node."""
    script = "import sys, scripts.status; sys.exit(any(name in sys.modules for name in ('torch', 'timm', 'sklearn')))"
    assert subprocess.run([os.sys.executable, "-c", script], check=False).returncode == 0


def test_merge_finishes_cells_that_no_job_finished_and_takes_chunks_of_other_machines(tmp_path, capsys):
    whole, first, second, both = (tmp_path / name for name in ("whole", "first", "second", "both"))
    assert cdam_bench(whole, "estimator=cdam") == 0
    assert cdam_bench(first, "estimator=cdam", "shards=2", "shard=0") == 0
    assert cdam_bench(second, "estimator=cdam", "shards=2", "shard=1") == 0
    capsys.readouterr()
    assert run_script(merge_results, "merge", f"results_dir={both}", f"sources=[{first}]") == 0
    assert "2 of 6 images are missing or damaged" in capsys.readouterr().out
    assert run_script(merge_results, "merge", f"results_dir={both}", f"sources=[{second}]") == 0
    assert "finished, 6 images" in capsys.readouterr().out
    assert tables_of(both, ["cdam"]) == tables_of(whole, ["cdam"])


def test_merge_refuses_another_configuration_in_one_line(tmp_path, capsys):
    assert cdam_bench(tmp_path / "a", "estimator=cdam", "shards=2") == 0
    assert cdam_bench(tmp_path / "b", "estimator=cdam", "shards=2", "seed=1") == 0
    before = files_below(tmp_path / "b")
    capsys.readouterr()
    assert run_script(merge_results, "merge", f"results_dir={tmp_path / 'b'}", f"sources=[{tmp_path / 'a'}]") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be merged" in line
    assert "seed: 1 → 0" in line
    assert files_below(tmp_path / "b") == before


def test_merge_sweeps_what_killed_jobs_left_under_temporary_names(tmp_path):
    assert cdam_bench(tmp_path, "estimator=cdam") == 0
    old, new = (tmp_path / FOLDER / "cdam" / "chunks" / f".000000-000002.npz.{name}.tmp" for name in ("a", "b"))
    old.write_text("half a chunk")
    new.write_text("being written")
    hours_ago = time.time() - 7200
    os.utime(old, (hours_ago, hours_ago))
    assert run_script(merge_results, "merge", f"results_dir={tmp_path}") == 0
    assert not old.exists()
    assert new.exists()


def test_box_responses_are_computed_once_by_jobs_that_follow_each_other_in_any_order(tmp_path, monkeypatch):
    calls, prepare = [], BoxSensitivity.prepare
    monkeypatch.setattr(BoxSensitivity, "prepare", lambda self, subject: calls.append(1) or prepare(self, subject))
    for estimator, shard in (("cdam", 2), ("gradcam", 0), ("gradcam", 2), ("cdam", 0), ("cdam", 1), ("gradcam", 1)):
        assert cdam_bench(tmp_path, f"estimator={estimator}", "shards=3", f"shard={shard}") == 0
    assert len(calls) == 3  # chunks


def test_status_parses_no_yaml_and_tables_read_every_description_once(tmp_path, monkeypatch):
    """Times of 1,000 cells stand in docs/cluster.md; here what they follow from is counted."""
    for number in range(60):
        key = CellKey("digits", f"vit_{number // 10}", f"method_{number % 10}")
        cell = Cell(tmp_path, key).open({"estimator": number % 10}, {"num_images": 2, "chunk_size": 2, "axes": {}})
        scores = {"score/A_MIF": np.array([1.0, number]), "info/seconds": np.array([1.0])}
        cell.chunks.write(0, 2, {"info/image": np.array(["a", "b"]), **scores})
        cell.finish()
    opened, parsed = [], []
    read_text, load = Path.read_text, store.yaml.load
    monkeypatch.setattr(Path, "read_text", lambda path, *a, **k: opened.append(path) or read_text(path, *a, **k))
    monkeypatch.setattr(store.yaml, "load", lambda *a, **k: parsed.append(a) or load(*a, **k))
    assert {cell.state for cell in read_status(tmp_path)} == {"done"}
    assert (len(opened), len(parsed)) == (60, 0)
    assert len(read_cells(tmp_path)) == 60
    assert (len(opened), len(parsed)) == (120, 60)
