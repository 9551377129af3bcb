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
    assert "cdam_bench/weights/digits_vit.safetensors" in names
    assert wheel.stat().st_size < 20e6


def test_the_committed_digits_weights_are_small_and_have_their_card_and_log():
    folder = ROOT / "cdam_bench" / "weights"
    assert (folder / "digits_vit.safetensors").stat().st_size <= 3e6
    assert "test accuracy" in (folder / "digits_vit.json").read_text()
    assert len((folder / "digits_vit.csv").read_text().splitlines()) > 100
