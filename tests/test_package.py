"""The wheel has what a user without the repository needs."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_configuration_and_small_weights_travel_in_the_wheel(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {f"cdam_bench/conf/{path.relative_to(ROOT / 'conf')}" for path in (ROOT / "conf").rglob("*.yaml")}
    assert configs
    assert configs <= names
    assert {f"cdam_bench/weights/{name}.safetensors" for name in ("digits_vit", "cifar10_vit")} <= names
    assert wheel.stat().st_size < 20e6


@pytest.mark.parametrize(("name", "bytes_allowed"), [("digits_vit", 3e6), ("cifar10_vit", 8e6)])
def test_the_committed_weights_are_small_and_have_their_card_and_log(name, bytes_allowed):
    folder = ROOT / "cdam_bench" / "weights"
    assert (folder / f"{name}.safetensors").stat().st_size <= bytes_allowed
    assert "test accuracy" in (folder / f"{name}.json").read_text()
    assert len((folder / f"{name}.csv").read_text().splitlines()) > 100
