"""The wheel, installed into an empty environment, works outside the repository, with the lowest and the newest dependencies."""

import os
import shutil
import subprocess
import sys
import time
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
SMALL = ["dataset.num_images=4", "metric.fidelity.steps=4", "metric.box_sensitivity.num_boxes=4", "runtime.device=cpu"]
SETTINGS = {  # what `uv pip install` is told. A lowest version that has no wheel for this Python is not tried: it has no lower one
    "lowest": ["--resolution=lowest-direct", "--only-binary=:all:", "--no-binary=antlr4-python3-runtime"],
    "newest": ["--resolution=highest"],
}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(UV is None, reason="needs uv")]


def uv(*words: str | Path) -> None:
    subprocess.run([UV, *map(str, words)], check=True, cwd=ROOT)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "--quiet", "--out-dir", folder, ROOT)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session", params=SETTINGS)
def programs(request, wheel, tmp_path_factory) -> Path:
    """Folder of the programs of an environment that holds the wheel and what it asks for."""
    environment = tmp_path_factory.mktemp(request.param) / "environment"
    uv("venv", "--quiet", "--python", sys.executable, environment)
    uv("pip", "install", "--quiet", "--python", environment / "bin" / "python", *SETTINGS[request.param], wheel)
    return environment / "bin"


@pytest.fixture
def cdam_bench(programs, tmp_path):
    """`cdam-bench …` in an empty folder, without the repository on any path: gives what it prints."""
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*words: str) -> str:
        done = subprocess.run(
            [programs / "cdam-bench", *words], cwd=tmp_path, env=variables, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_configuration_weights_and_the_mark_of_types_travel_in_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {f"cdam_bench/conf/{path.relative_to(ROOT / 'conf')}" for path in (ROOT / "conf").rglob("*.yaml")}
    assert configs
    assert configs <= names
    assert {f"cdam_bench/weights/{name}.safetensors" for name in ("digits_vit", "cifar10_vit")} <= names
    assert "cdam_bench/py.typed" in names
    assert wheel.stat().st_size < 20e6


def test_the_wheel_says_who_made_it_and_what_it_is_for(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    said = message_from_bytes(archive.read(name))
    assert said["Author"]
    assert said.get_all("Project-URL")
    assert "Typing :: Typed" in said.get_all("Classifier")
    assert {"joblib", "lidc", "select", "slurm"} <= set(said.get_all("Provides-Extra"))


def test_help_comes_within_three_seconds(cdam_bench):
    cdam_bench("--help")  # the first one writes the compiled files
    started = time.perf_counter()
    assert "explain" in cdam_bench("--help")
    assert time.perf_counter() - started < 3


def test_every_command_works_outside_the_repository(cdam_bench, tmp_path):
    for estimator in ("cdam", "smoothgrad", "relevance_propagation"):
        cdam_bench("run", f"estimator={estimator}", "dataset=digits", *SMALL)
    assert "3 done" in cdam_bench("status")
    cdam_bench("tables")
    assert "SmoothGrad" in (tmp_path / "results/tables/tables.md").read_text(encoding="utf-8")
    cdam_bench("figures")
    assert (tmp_path / "results/figures/digits/digits_vit/maps.png").exists()
    shutil.copy(ROOT / "docs" / "images" / "two_digits.png", tmp_path)
    cdam_bench("explain", "image=two_digits.png", "target=top1", "estimator=[cdam,gradcam,integrated_gradients]")
    assert list(tmp_path.glob("outputs/**/*.png"))
    assert "digits_vit" in cdam_bench("check")
