"""Launchers of sweeps: one process per device, the same tables, and one line where one is not installed."""

import os
import subprocess
import sys

import pytest
import torch

from cdam_bench.cli import devices
from cdam_bench.cli.messages import launcher_trouble
from tests.runs import SMALL, cdam_bench, exit_status, in_a_child, tables_of


@pytest.fixture
def three_gpus(monkeypatch, tmp_path):
    """Names of GPUs that the sweep may use, and locks of their own."""
    monkeypatch.setenv(devices.USABLE, "0,2,5")
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    yield
    devices.own_device.cache_clear()


@pytest.mark.usefixtures("three_gpus")
def test_every_process_takes_a_gpu_of_its_own_and_gives_it_back_at_its_end(tmp_path):
    first, second, go = (tmp_path / name for name in ("first", "second", "go"))
    os.mkfifo(go)

    def take_and_wait(file):
        file.write_text(devices.own_device())
        go.read_text()
        return 0

    children = []
    for file in (first, second):
        children.append(in_a_child(lambda file=file: take_and_wait(file)))
        while not (file.exists() and file.read_text()):
            assert os.waitpid(children[-1], os.WNOHANG) == (0, 0)
    assert (first.read_text(), second.read_text()) == ("0", "2")
    third = in_a_child(lambda: int(devices.own_device()))
    assert exit_status(third) == 5
    os.kill(children[0], 9)
    assert exit_status(children[0]) == -9
    assert exit_status(in_a_child(lambda: 10 + int(devices.own_device()))) == 10  # GPU 0 is free again
    go.write_text("go")
    assert exit_status(children[1]) == 0


def test_a_sweep_uses_the_gpus_that_are_visible_to_it(monkeypatch):
    monkeypatch.delenv(devices.USABLE, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,7")
    assert devices.num_devices() == 2
    assert os.environ[devices.USABLE] == "2,7"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # as submitit leaves it to its jobs
    assert devices.num_devices() == 2
    monkeypatch.setenv(devices.USABLE, "")
    assert devices.num_devices() == 1


def test_a_launcher_that_is_not_installed_is_one_line():
    error = RuntimeError("Unknown plugin class : 'hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher'")
    assert launcher_trouble(error) == "this launcher is not installed: pip install 'cdam-bench[joblib]'"
    assert launcher_trouble(RuntimeError("something else")) is None


def test_slurm_where_there_is_none_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cdam_bench(tmp_path / "results", "-m", "hydra/launcher=slurm", "estimator=cdam") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "hydra/launcher=slurm needs Slurm's commands" in line


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "slurm_local"])
def test_launchers_of_one_machine_give_the_tables_of_a_plain_sweep(launcher, tmp_path):
    estimators = ("cdam", "attention_map")
    sweep = ("-m", f"estimator={','.join(estimators)}", "shards=2")
    assert cdam_bench(tmp_path / "plain", *sweep) == 0
    command = [sys.executable, "-m", "cdam_bench", *sweep, f"hydra/launcher={launcher}", *SMALL]
    same_threads = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}  # sums round alike
    done = subprocess.run(
        [*command, f"results_dir={tmp_path / launcher}"], env=same_threads, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert tables_of(tmp_path / launcher, estimators) == tables_of(tmp_path / "plain", estimators)
