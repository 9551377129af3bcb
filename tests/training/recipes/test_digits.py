"""The command that trains digits_vit: what it leaves, that it resumes, and that old weights never get a card with new settings."""

import json

import pytest
import torch
from safetensors.torch import load_file

from cdam_bench.training.recipes import digits
from tests.scripts import command

SMALL = ("steps=3", "batch_size=4", "backbone.model_args={patch_size:8,embed_dim:24,depth:1,num_heads:2}")


@pytest.fixture(autouse=True)
def quick_accuracy(monkeypatch):
    monkeypatch.setattr(digits, "digits_accuracy", lambda *_: {"single": 0.5, "multi": 0.25})


def train(folder, *overrides):
    places = (f"work_dir={folder}/work", f"output={folder}/small.safetensors")
    return command("train", "digits", *SMALL, *places, *overrides)


def test_weights_card_and_log_are_left(tmp_path):
    assert train(tmp_path) == 0
    card = json.loads((tmp_path / "small.json").read_text())
    assert card["test accuracy"] == {"one digit, top 1": 0.5, "two digits, both in the top 2": 0.25}
    assert card["config"]["steps"] == card["training"]["step"] == 3
    weights = load_file(tmp_path / "small.safetensors")
    assert weights["head.weight"].shape == (10, 24)
    assert sum(value.numel() for value in weights.values()) == card["parameters"]
    assert (tmp_path / "small.csv").read_text() == (tmp_path / "work" / "log.csv").read_text()


def test_the_same_settings_are_not_trained_again(tmp_path, monkeypatch):
    assert train(tmp_path) == 0
    weights = (tmp_path / "small.safetensors").read_bytes()
    monkeypatch.setattr(digits.SceneBatches, "__call__", None)  # it must not be called
    assert train(tmp_path) == 0
    assert (tmp_path / "small.safetensors").read_bytes() == weights


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("steps=4", "steps: 3 → 4"),
        ("perturbation.probability=0.1", "perturbation.probability: 0.5 → 0.1"),
        ("seed=1", "seed: 0 → 1, start_weights: "),
    ],
)
def test_a_changed_setting_is_named_and_the_old_weights_keep_their_card(tmp_path, capsys, override, told):
    assert train(tmp_path) == 0
    before = {name: (tmp_path / f"small.{name}").read_bytes() for name in ("safetensors", "json", "csv")}
    assert train(tmp_path, override) == 2
    assert f"is of a training with other settings ({told}" in capsys.readouterr().err
    assert {name: (tmp_path / f"small.{name}").read_bytes() for name in before} == before
    assert train(tmp_path, override, "overwrite=true") == 0
    assert (tmp_path / "small.safetensors").read_bytes() != before["safetensors"]


def test_training_starts_from_the_same_weights_whatever_was_drawn_before(tmp_path):
    assert train(tmp_path / "one") == 0
    torch.rand(7)
    assert train(tmp_path / "two") == 0
    one, two = (load_file(tmp_path / name / "small.safetensors") for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)
