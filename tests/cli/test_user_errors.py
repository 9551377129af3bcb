"""A user's mistake gets one line that says what to change, exit status 2, and leaves the store as it was."""

import pytest
import torch
from safetensors.torch import save_file

from cdam_bench.backbones import create_vit
from cdam_bench.backbones.files import PACKAGED
from tests.runs import cdam_bench, files_below

DIGITS_VIT = PACKAGED / "digits_vit.safetensors"


@pytest.fixture
def weights(tmp_path):
    """Weights files with something wrong, by name."""
    folder = tmp_path / "weights"
    folder.mkdir()
    content = DIGITS_VIT.read_bytes()
    (folder / "truncated.safetensors").write_bytes(content[: len(content) // 2])
    (folder / "text.pth").write_text("not weights")
    other = create_vit("vit_tiny_patch16_224", 10, 64, {"patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 4})
    save_file(other.state_dict(), folder / "narrow.safetensors")
    broken = {"weight": torch.zeros(10, 128), "bias": torch.full((10,), torch.nan)}
    save_file(broken, folder / "broken.safetensors")
    save_file({"weight": torch.zeros(7, 96), "bias": torch.zeros(7)}, folder / "seven.safetensors")
    return folder


MISTAKES = {
    "unknown estimator": (["estimator=smoth_cdam"], "estimator=smoth_cdam is unknown: did you mean smooth_cdam"),
    "unknown dataset": (["dataset=digit"], "did you mean digits"),
    "unknown key": (["estimator.num_sample=5"], "estimator.num_sample"),
    "missing weights": (["backbone.checkpoint=nowhere.safetensors"], "nowhere.safetensors not found"),
    "truncated weights": (["backbone.checkpoint=truncated.safetensors"], "truncated.safetensors cannot be read"),
    "unreadable weights": (["backbone.checkpoint=text.pth"], "text.pth cannot be read"),
    "other architecture": (["backbone.checkpoint=narrow.safetensors"], "does not fit this architecture: missing"),
    "head of wrong size": (["backbone.head=seven.safetensors"], "has 7 classes, but backbone.num_classes=10"),
    "head with NaN": (["backbone.head=broken.safetensors"], "has NaN or infinite values in bias"),
    "negative steps": (["metric.fidelity.steps=-1"], "metric.fidelity.steps=-1: must be a positive"),
    "negative samples": (["estimator.num_samples=-5"], "estimator.num_samples=-5: must be a positive"),
    "negative noise": (["estimator.noise_level=-1"], "estimator.noise_level=-1: must be between 0 and 100"),
    "box larger than the image": (["metric.box_sensitivity.sizes=[20,120]"], "a box of 120"),
    "indivisible image": (["backbone.image_size=65"], "image_size=65 is not divisible by the patch size 8"),
    "no such device": (["runtime.device=cuda"], "runtime.device=cuda cannot be used here"),
    "unknown precision": (["runtime.precision=fp8"], "precision=fp8 is unknown"),
    "shard beyond shards": (["shards=2", "shard=2"], "shard=2: must be in 0…1"),
    "no batch": (["runtime.batch_size=0"], "runtime.batch_size=0"),
    "wrong type": (["estimator.num_samples=many"], "estimator.num_samples=many"),
    "wrong argument": (["+estimator.colour=red"], "colour"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line_and_status_2_and_leaves_the_store_alone(mistake, tmp_path, weights, capsys):
    overrides, expected = MISTAKES[mistake]
    if mistake == "no such device" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    results = tmp_path / "results"
    assert cdam_bench(results, f"paths.weights_dir={weights}", *overrides) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    assert expected in lines[0]
    assert not results.exists()


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("seed=3", "seed: 0 → 3"),
        ("+estimator.colour=red", "estimator.colour: unset → red"),
        ("dataset.seed=9", "0 → 9"),
    ],
)
def test_a_changed_configuration_over_results_is_refused(setting, told, tmp_path, capsys):
    assert cdam_bench(tmp_path, "estimator=cdam") == 0
    before = files_below(tmp_path)
    capsys.readouterr()
    assert cdam_bench(tmp_path, "estimator=cdam", setting) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert "overwrite=true" in line
    assert files_below(tmp_path) == before


def test_an_unwritable_results_folder_is_named(tmp_path, capsys):
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    assert cdam_bench(blocker / "results", "estimator=cdam") == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(lines) == 1
    assert str(blocker) in lines[0]
    assert blocker.read_text() == "not a folder"


def test_in_a_sweep_the_other_cells_still_run(tmp_path):
    assert cdam_bench(tmp_path, "estimator=cdam") == 0
    assert cdam_bench(tmp_path, "-m", "estimator=cdam,attention_map", "seed=1") == 2  # cdam is there with seed 0
    assert (tmp_path / "cells" / "digits_multi" / "digits_vit" / "attention_map" / "scores.csv").exists()
