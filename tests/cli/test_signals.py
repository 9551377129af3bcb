"""A run that is asked to stop stops at once, in one line; a job of a scheduler is requeued."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from cdam_bench.benchmark.job import Job
from cdam_bench.cli import signals
from cdam_bench.store.status import read_status
from tests.runs import cdam_bench, exit_status, in_a_child

FOLDER = Path("cells") / "digits_multi" / "digits_vit"


def states(results):
    return {cell.estimator: (cell.state, cell.done) for cell in read_status(results)}


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 138)])
def test_a_signal_ends_the_run_in_one_line_and_all_finished_chunks_stay(tmp_path, number, expected):
    def stopped_in_the_second_chunk():
        measure, chunks = Job.measure, tmp_path / FOLDER / "cdam" / "chunks"

        def signalled(self, start, stop, *rest):
            if chunks.exists():
                os.kill(os.getpid(), number)
            return measure(self, start, stop, *rest)

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

    monkeypatch.setattr(signals.subprocess, "run", squeue)
    before = signal.signal(signal.SIGUSR2, checkpoint_and_try_requeue)
    try:
        with pytest.raises(SystemExit) as ended, signals.stopping_on_signals():
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

    def measure(self, start, stop, *rest):
        if start == 4:
            raise SystemExit(1)
        return stopped(self, start, stop, *rest)

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
