"""The digits sweep on a real Slurm, disturbed in every way, ends in the tables of an undisturbed run on this machine."""

import os
import subprocess
import sys
import time

import pytest
import torch

from cdam_bench.progress import clock_of, errors_of, read_status, running_jobs
from tests.runs import cdam_bench, tables_of
from tests.slurm_cluster import missing_daemons, slurm, slurm_cluster, wait_for

ESTIMATORS, SHARDS, IMAGES = ("cdam", "integrated_gradients"), 2, 40
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


def queue(environment):
    """State and node of every job that is not over."""
    lines = slurm(environment, "squeue", "--noheader", "--array", "-o", "%i %T %N").splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines}


def reason_to_skip():
    if os.geteuid() != 0:
        return "needs root"
    return f"needs slurm-wlm and munge: {', '.join(missing)} not found" if (missing := missing_daemons()) else ""


@pytest.mark.slurm
@pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip())
def test_a_disturbed_sweep_on_slurm_gives_the_tables_of_a_local_run(tmp_path):
    results, whole = tmp_path / "slurm", tmp_path / "local"
    os.environ["OMP_NUM_THREADS"] = str(torch.get_num_threads())  # sums round alike
    with slurm_cluster(tmp_path / "cluster") as environment:
        sweep = Sweep(environment, results)
        twin = Sweep(environment, results, "estimator=cdam,attention_map", "shard=0")  # shard 0 of cdam a second time
        assert cdam_bench(whole, "-m", *WORK[0:1], *WORK[2:]) == 0  # meanwhile, undivided

        # two jobs do the same shard at the same time
        def twins():
            at_work = [(str(job["cell"]), job["shard"]) for job in heartbeats(results).values()]
            return len(set(at_work)) < len(at_work)

        wait_for(twins, "two jobs at work on one shard")

        # SIGUSR1: the job is requeued, and computes nothing again
        name, job = wait_for(lambda: first(heartbeats(results), lambda job: job["done"] > 0), "a job with a chunk")
        slurm(environment, "scancel", "--signal=USR1", name)
        finished = chunks(job["cell"])
        wait_for(lambda: "DUE TO JOB REQUEUE" in log_of(results, name), "the requeued job")

        # SIGKILL: the job is lost
        killed, _ = wait_for(lambda: first(heartbeats(results), lambda _: True, but=name), "another job at work")
        slurm(environment, "scancel", "--signal=KILL", killed)
        wait_for(lambda: killed not in queue(environment), "the end of the killed job")

        # a node goes down and comes back: its jobs start again
        nodes = wait_for(
            lambda: [node for state, *node in queue(environment).values() if state == "RUNNING"], "a running job"
        )
        (node,) = nodes[0]
        slurm(environment, "scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
        time.sleep(1)
        slurm(environment, "scontrol", "update", f"NodeName={node}", "State=RESUME")

        wait_for(lambda: not queue(environment), "the end of all jobs", 300)
        sweep.give_up()
        twin.give_up()
        again = chunks(job["cell"])
        assert {chunk: again[chunk] for chunk in finished} == finished

        # the same command once more does what the killed job left
        last = Sweep(environment, results)
        assert last.process.wait(300) == 0

    cells = {cell.estimator: cell for cell in read_status(results)}
    assert cells.keys() == {*ESTIMATORS, "attention_map"}
    for estimator in ESTIMATORS:
        assert (cells[estimator].state, cells[estimator].done, cells[estimator].jobs) == ("done", IMAGES, [])
        assert not errors_of(results / "cells" / "digits_multi" / "digits_vit" / estimator)
    assert tables_of(results, ESTIMATORS) == tables_of(whole, ESTIMATORS)


def first(jobs, condition, but=None):
    """The first of `jobs` that fulfils the condition."""
    return next(((name, job) for name, job in jobs.items() if name != but and condition(job)), None)
