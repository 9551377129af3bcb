"""`cdam-bench check` says what is here, and how to get what is not."""

import json
import subprocess
import sys

import pytest

from cdam_bench.cli import check
from cdam_bench.cli.commands import BY_NAME
from tests.scripts import run_script


@pytest.fixture
def items(tmp_path, capsys):
    """Name → item, for folders that the test fills first."""

    def found(*overrides):
        folders = (f"paths.data_dir={tmp_path}/data", f"paths.weights_dir={tmp_path}/weights")
        assert run_script(check.check, "scripts/check", "json=true", *folders, *overrides) == 0
        items = json.loads(capsys.readouterr().out)["items"]
        return {item["name"]: item for item in items if item["kind"] != "extra"}

    return found


def test_what_comes_with_the_package_is_here(items):
    found = items()
    assert [found[name]["state"] for name in ("cpu", "digits_vit", "cifar10_vit", "digits")] == ["here"] * 4


def test_what_lacks_says_how_to_get_it(items):
    for item in items().values():
        assert item["state"] in ("here", "on demand", "lacking")
        assert (item["how"] == "") == (item["state"] == "here"), item


def test_weights_in_the_folder_are_seen(items, tmp_path):
    assert items()["deit_vitb16"]["state"] == "on demand"
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "deit_base_patch16_224-b5f2ef4d.pth").write_bytes(b"weights")
    assert items()["deit_vitb16"]["state"] == "here"


def test_a_head_that_no_one_offers_has_to_be_trained(items, tmp_path):
    assert items()["dino_vitb16"]["state"] == "lacking"
    assert "cdam-bench train probe backbone=dino_vitb16" in items()["dino_vitb16"]["how"]
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "dino_vitb16_linear.safetensors").write_bytes(b"head")
    assert items()["dino_vitb16"]["state"] == "on demand"  # the backbone's own file can be downloaded


def test_fine_tuned_weights_are_seen(items, tmp_path):
    assert items()["lidc_deit_vitb16"]["state"] == "lacking"
    (tmp_path / "weights" / "lidc").mkdir(parents=True)
    (tmp_path / "weights" / "lidc" / "lidc_malignancy_deit_vitb16_paper_fold0.safetensors").write_bytes(b"tuned")
    assert items()["lidc_deit_vitb16"]["state"] == "here"
    assert items()["lidc_dino_vits8"]["state"] == "lacking"


@pytest.mark.parametrize(
    ("name", "file"), [("imagenet", "val/x.JPEG"), ("cifar10", "cifar10/test.zip"), ("lidc", "lidc/nodules.npz")]
)
def test_data_in_the_folder_are_seen(items, tmp_path, name, file):
    assert items()[name]["state"] != "here"
    (tmp_path / "data" / file).parent.mkdir(parents=True)
    (tmp_path / "data" / file).write_bytes(b"data")
    assert items()[name]["state"] == "here"


def test_gpus_are_those_the_driver_names(items, monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA A100, 81920 MiB'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert items()["cuda:0"]["about"] == "NVIDIA A100, 81920 MiB"


def test_every_command_it_names_exists(items):
    named = [word for item in items().values() for word in item["how"].split("cdam-bench ")[1:]]
    assert named
    for words in named:
        first = " ".join(word.strip(",") for word in words.split()[:2])
        assert first in BY_NAME or first.split()[0] in BY_NAME, words


def test_the_text_has_a_line_for_everything(tmp_path, capsys, items):
    names = list(items())
    assert run_script(check.check, "scripts/check", f"paths.data_dir={tmp_path}") == 0
    text = capsys.readouterr().out
    assert all(f" {name} " in text for name in names)


def test_nothing_heavy_is_imported():
    code = (
        "import sys; from cdam_bench.cli import main; main(['check']); "
        "print(sorted({'torch', 'timm', 'pandas', 'captum', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
