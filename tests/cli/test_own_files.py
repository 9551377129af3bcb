"""Experiments and methods of one's own: what their files say holds, and what they misspell is told."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.runs import SMALL, cdam_bench, files_below

ROOT = Path(__file__).parents[2]
CELL = Path("cells") / "digits_multi" / "digits_vit"


@pytest.fixture
def experiment(tmp_path):
    """Writes myconf/experiment/mine.yaml; the folder myconf."""

    def write(**settings):
        file = tmp_path / "myconf" / "experiment" / "mine.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("# @package _global_\n" + yaml.safe_dump(settings))
        return str(tmp_path / "myconf")

    return write


def cell_run(where, *words, monkeypatch):
    """`python -m cdam_bench` without a results folder on the command line; the exit status."""
    from tests.scripts import command

    monkeypatch.chdir(where)
    small = [word for word in SMALL if not word.startswith("chunk_size")]
    flags = [word for word in words if word.startswith("--")]
    return command("run", *flags, *small, *(word for word in words if not word.startswith("--")))


def described(results, estimator="cdam"):
    return yaml.safe_load((results / CELL / estimator / "cell.yaml").read_text())


def test_an_experiment_sets_what_config_yaml_sets_and_the_command_line_wins(tmp_path, experiment, monkeypatch):
    folder = experiment(results_dir="elsewhere", seed=7, chunk_size=3, target_order="annotated")
    words = (f"--config-dir={folder}", "experiment=mine", "estimator=cdam")
    assert cell_run(tmp_path, *words, monkeypatch=monkeypatch) == 0
    cell = described(tmp_path / "elsewhere")
    assert (cell["identity"]["seed"], cell["chunk_size"], cell["identity"]["target_order"]) == (7, 3, "annotated")
    assert not (tmp_path / "results").exists()
    assert cell_run(tmp_path, *words, "seed=1", "results_dir=third", monkeypatch=monkeypatch) == 0
    assert described(tmp_path / "third")["identity"]["seed"] == 1


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"chunk_sise": 3}, "key=chunk_sise is unknown: did you mean chunk_size"),
        ({"runtime": {"devcie": "cpu"}}, "key=runtime.devcie is unknown: did you mean runtime.device"),
        ({"metric": {"fidelity": {"stepps": 3}}}, "metric.fidelity"),
        ({"metrics": {"fidelity": {"steps": 3}}}, "key=metrics is unknown: did you mean metric"),
    ],
)
def test_a_misspelt_key_of_an_experiment_is_one_line(settings, told, tmp_path, experiment, capsys):
    folder = experiment(**settings)
    assert cdam_bench(tmp_path / "results", f"--config-dir={folder}", "experiment=mine") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert not (tmp_path / "results").exists()


MISSPELT = {
    "+metric/x=fidelity": "metric/x",
    "+metric.fidelty.steps=3": "metric.fidelty",
    "+runtime.devcie=cpu": "key=runtime.devcie is unknown: did you mean runtime.device",
    "+estimater=cdam": "key=estimater is unknown: did you mean estimator",
    "runtime.devcie=cpu": "runtime.devcie",
    "experiment=lidc_demo_finetune": "experiment=lidc_demo_finetune is unknown",
    "finetuning=lidc_demo": "finetuning",
    "--stpes=3": "unrecognized arguments: --stpes=3",
}


@pytest.mark.parametrize("word", MISSPELT)
def test_a_misspelt_key_of_the_command_line_is_one_line(word, tmp_path, capsys):
    assert cdam_bench(tmp_path / "results", word) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert MISSPELT[word] in line
    assert not (tmp_path / "results").exists()


METHODS = """
from cdam_bench.estimators import AttentionMap

class Mine(AttentionMap):
    pass
"""
PROGRAMS = {
    "the console command": [str(Path(sys.executable).with_name("cdam-bench")), "run"],
    "python -m": [sys.executable, "-m", "cdam_bench"],
}


def folder_with_methods(tmp_path):
    (tmp_path / "mymethods.py").write_text(METHODS)
    (tmp_path / "myconf" / "estimator").mkdir(parents=True)
    (tmp_path / "myconf" / "estimator" / "mine.yaml").write_text("_target_: mymethods.Mine\n")
    return tmp_path


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_method_in_the_working_folder_is_found_however_the_command_is_called(program, tmp_path):
    folder = folder_with_methods(tmp_path)
    words = ["--config-dir=myconf", "estimator=mine", *SMALL, "dataset.num_images=2"]
    done = subprocess.run([*PROGRAMS[program], *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / "results" / CELL / "mine" / "scores.csv").exists()


def test_a_script_draws_the_maps_of_a_method_in_the_working_folder(tmp_path):
    folder = folder_with_methods(tmp_path)
    assert cdam_bench_in(folder, "--config-dir=myconf", "estimator=mine", "dataset.num_images=2") == 0
    script = [sys.executable, str(ROOT / "scripts" / "make_figures.py"), "num_images=1"]
    done = subprocess.run(script, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [name for name in files_below(folder / "results" / "figures") if name.endswith("maps.png")]


def cdam_bench_in(folder, *words):
    command = [sys.executable, "-m", "cdam_bench", *words[:1], *SMALL, *words[1:]]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode
