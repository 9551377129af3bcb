"""Killed anywhere, any number of times, a sweep goes on to the same tables."""

import io
import os
import random
import signal
import time
from pathlib import Path

import pytest

from cdam_bench.benchmark.job import Job
from tests.runs import cdam_bench, exit_status, in_a_child, tables_of

ESTIMATORS = ("attention_map", "cdam")
SWEEP = ("-m", f"estimator={','.join(ESTIMATORS)}", "dataset.num_images=4", "metric.fidelity.steps=2")


class Death:
    """Counts the steps at which a run can be hurt, and kills this process with SIGKILL at one of them.

    Args:
        at: the step to die at, counted from 1; None: count only.
    """

    def __init__(self, at=None):
        self.at, self.steps = at, 0

    def step(self):
        self.steps += 1
        if self.steps == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, function):
        """`function` with a step before and one after it."""

        def stepping(*arguments, **options):
            self.step()
            result = function(*arguments, **options)
            self.step()
            return result

        return stepping

    def lie_in_wait(self, patch):
        """At every open, half of every write, every sync, every rename, every deletion, and every chunk computed."""
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink"), (Path, "mkdir"), (Job, "measure")):
            patch.setattr(owner, name, self.around(getattr(owner, name)))
        death, open_ = self, Path.open

        class HalfWritten(io.BufferedWriter):
            def write(self, content):
                super().write(content[: len(content) // 2])
                self.flush()
                death.step()
                return super().write(content[len(content) // 2 :])

        def stepping_open(path, mode="r", *arguments, **options):
            self.step()
            return HalfWritten(io.FileIO(path, "w")) if mode == "wb" else open_(path, mode, *arguments, **options)

        patch.setattr(Path, "open", stepping_open)


def run_and_die(results, at=None, after=None):
    """The sweep in a child process; True if it lived to the end.

    Args:
        at: the step it dies at.
        after: seconds after which it is killed.
    """

    def work():
        with pytest.MonkeyPatch.context() as patch:
            Death(at).lie_in_wait(patch)
            return cdam_bench(results, *SWEEP)

    child = in_a_child(work)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    status = exit_status(child)
    assert status in (0, -signal.SIGKILL)
    return status == 0


@pytest.mark.parametrize("points", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_a_sweep_killed_at_random_points_always_resumes_to_identical_tables(points, tmp_path):
    """Half of the points are steps of the store and of the computation, half are moments in time."""
    with pytest.MonkeyPatch.context() as patch:
        counter = Death()
        counter.lie_in_wait(patch)
        start = time.monotonic()
        assert cdam_bench(tmp_path / "whole", *SWEEP) == 0
        seconds = time.monotonic() - start
    expected = tables_of(tmp_path / "whole", ESTIMATORS)
    chance = random.Random(points)
    killed, sweeps = 0, 0
    while killed < points:
        results = tmp_path / str(sweeps)
        while not run_and_die(results, *_a_point(chance, counter.steps, seconds)):
            killed += 1
        assert tables_of(results, ESTIMATORS) == expected
        sweeps += 1
    print(f"{killed} kills over {sweeps} sweeps of {counter.steps} steps")


def _a_point(chance, steps, seconds):
    if chance.random() < 0.5:
        return chance.randint(1, steps), None
    return None, chance.uniform(0, seconds)
