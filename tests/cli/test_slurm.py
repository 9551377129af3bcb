"""The digits sweep on a real Slurm, disturbed in every way, ends in the tables of an undisturbed run on this machine."""

import os
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import torch

from cdam_bench.store.heartbeats import clock_of, errors_of, running_jobs
from cdam_bench.store.status import read_status
from tests.cli.slurm_cluster import KILL_WAIT, missing_daemons, slurm, slurm_cluster, wait_for
from tests.runs import cdam_bench, exit_status, in_a_child, tables_of

ESTIMATORS = QUICK, SLOW = ("cdam", "integrated_gradients")
SHARDS, IMAGES = 2, 40
CELLS = Path("cells") / "digits_multi" / "digits_vit"
WORK = (
    f"estimator={','.join(ESTIMATORS)}",
    f"shards={SHARDS}",
    f"dataset.num_images={IMAGES}",
    "chunk_size=1",
    "metric.fidelity.steps=20",
    "metric.box_sensitivity.num_boxes=8",
    "metric.box_sensitivity.sizes=[20,50]",
    "runtime.device=cpu",
)
LAUNCHER = (
    "hydra/launcher=slurm",
    "hydra.launcher.gpus_per_node=null",
    "hydra.launcher.cpus_per_task=1",
    "hydra.launcher.mem_gb=null",
    "hydra.launcher.partition=main",
    'hydra.launcher.setup=["export CDAM_BENCH_SET_UP=yes"]',
)


class Sweep:
    """A sweep that `python -m cdam_bench -m` submits to Slurm; the command waits for its jobs."""

    def __init__(self, environment, results, *settings):
        command = [sys.executable, "-m", "cdam_bench", "-m", f"results_dir={results}", *WORK, *LAUNCHER, *settings]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, env=environment, **quiet)

    def give_up(self):
        """Stop waiting: Slurm keeps the jobs."""
        self.process.kill()
        self.process.wait()


def heartbeats(results):
    """What the jobs at work say, by their names."""
    folders = (results / "cells").glob("*/*/*/running")
    return {job["job"].split()[1]: {**job, "cell": folder.parent} for folder in folders for job in beats(folder)}


def beats(folder):
    return running_jobs(folder, clock_of(folder.parent))


def chunks(cell):
    return {path.name: path.stat().st_mtime_ns for path in (cell / "chunks").glob("*.npz")}


def log_of(results, name):
    """What a job, and Slurm about it, wrote to its error stream."""
    return "".join(path.read_text() for path in (results / "sweeps" / ".submitit" / name).glob("*.err"))


def unfinished(results):
    """Jobs that ended without an answer to the command that submitted them."""
    folders = (results / "sweeps" / ".submitit").iterdir()
    return {path.name for path in folders if path.is_dir() and not list(path.glob("*_result.pkl"))}


def queue(environment):
    """State and node of every job that is not over."""
    lines = slurm(environment, "squeue", "--noheader", "--array", "-o", "%i %T %N").splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines}


def running(environment):
    """Name and node of every job that runs."""
    return ((name, node[0]) for name, (state, *node) in queue(environment).items() if state == "RUNNING")


def reason_to_skip():
    if os.geteuid() != 0:
        return "needs root"
    return f"needs slurm-wlm and munge: {', '.join(missing)} not found" if (missing := missing_daemons()) else ""


@pytest.mark.slurm
@pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip())
def test_a_disturbed_sweep_on_slurm_gives_the_tables_of_a_local_run(tmp_path, monkeypatch):
    results, whole = tmp_path / "slurm", tmp_path / "local"
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))  # sums round alike
    with slurm_cluster(tmp_path / "cluster") as environment, ExitStack() as stack:

        def submit(*settings):
            sweep = Sweep(environment, results, *settings)
            stack.callback(sweep.give_up)
            return sweep

        sweep = submit()
        twin = submit(f"estimator={SLOW}", "shard=0")  # a second time
        local = in_a_child(lambda: cdam_bench(whole, "-m", *(word for word in WORK if not word.startswith("shards="))))

        def at_work(estimator, shard, chunks_done=0):
            """Names of the jobs at work on that share."""
            return [
                name
                for name, job in heartbeats(results).items()
                if (job["cell"].name, job["shard"]) == (estimator, shard) and job["done"] >= chunks_done
            ]

        # SIGUSR1: the job is requeued
        (requeued,) = wait_for(lambda: at_work(QUICK, 0, 1) or at_work(QUICK, 1, 1), "a job with a chunk")
        finished = chunks(results / CELLS / QUICK)
        slurm(environment, "scancel", "--signal=USR1", requeued)
        wait_for(lambda: len(at_work(SLOW, 0)) == 2, "two jobs at work on one shard at the same time")
        wait_for(lambda: "DUE TO JOB REQUEUE" in log_of(results, requeued), "Slurm's word on it")

        # SIGKILL: the job is lost
        (killed,) = wait_for(lambda: at_work(SLOW, 1), "another job at work")
        slurm(environment, "scancel", "--signal=KILL", killed)
        wait_for(lambda: "CANCELLED AT" in log_of(results, killed), "Slurm's word on it")

        # a node goes down and comes back: its jobs start again
        wait_for(lambda: all(state != "COMPLETING" for state, *_ in queue(environment).values()), "the end of both")
        name, node = wait_for(lambda: next(running(environment), None), "a job at work on a node")
        slurm(environment, "scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
        wait_for(lambda: "DUE TO NODE FAILURE" in log_of(results, name), "Slurm's word on it")
        time.sleep(KILL_WAIT + 1)
        with suppress(subprocess.CalledProcessError):  # it may be back by itself
            slurm(environment, "scontrol", "update", f"NodeName={node}", "State=RESUME")

        wait_for(lambda: not queue(environment), "the end of all jobs", 900)
        sweep.give_up()
        twin.give_up()
        assert killed in unfinished(results)
        again = chunks(results / CELLS / QUICK)
        assert {chunk: again[chunk] for chunk in finished} == finished  # none was computed again

        # the same command once more does what the killed job left
        assert submit().process.wait(900) == 0
    assert exit_status(local) == 0

    cells = {cell.estimator: cell for cell in read_status(results)}
    assert cells.keys() == set(ESTIMATORS)
    for estimator in ESTIMATORS:
        assert (cells[estimator].state, cells[estimator].done, cells[estimator].jobs) == ("done", IMAGES, [])
        assert not errors_of(results / CELLS / estimator)
    assert tables_of(results, ESTIMATORS) == tables_of(whole, ESTIMATORS)
