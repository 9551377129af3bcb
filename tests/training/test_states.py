"""A state belongs to its settings; a damaged or unknown one is told in one line, and nothing is thrown away unasked."""

import pytest
import torch
from omegaconf import OmegaConf

from cdam_bench.errors import UserError
from cdam_bench.training.states import StateFile, training_settings, weights_digest

SETTINGS = {"steps": 10, "perturbation": {"blur_sigma": 4.0}, "growth": [0.1, 0.3]}


def test_what_was_saved_is_read_with_the_same_settings_in_any_order(tmp_path):
    StateFile(tmp_path / "state.pt", SETTINGS).save({"weights": torch.arange(3)})
    turned = dict(reversed(SETTINGS.items()))
    assert torch.equal(StateFile(tmp_path / "state.pt", turned).load()["weights"], torch.arange(3))
    assert StateFile(tmp_path / "gone.pt", SETTINGS).load() is None
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_every_setting_that_differs_is_named(tmp_path):
    StateFile(tmp_path / "state.pt", SETTINGS).save({})
    other = {**SETTINGS, "steps": 20, "perturbation": {"blur_sigma": 2.0}}
    with pytest.raises(UserError) as told:
        StateFile(tmp_path / "state.pt", other).load()
    assert str(told.value) == (
        f"{tmp_path}/state.pt is of a training with other settings (perturbation.blur_sigma: 4.0 → 2.0, steps: 10 → 20): "
        "overwrite=true begins anew, another work_dir and output keep both"
    )


def test_overwrite_begins_anew_and_the_old_state_stays_until_it_is_replaced(tmp_path):
    StateFile(tmp_path / "state.pt", SETTINGS).save({"step": 1})
    assert StateFile(tmp_path / "state.pt", {"steps": 5}, overwrite=True).load() is None
    assert StateFile(tmp_path / "state.pt", SETTINGS).load()["step"] == 1


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 torn"])
def test_a_damaged_state_is_named_with_the_ways_out(tmp_path, content):
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"state.pt cannot be read .*: overwrite=true begins anew, another work_dir"):
        StateFile(tmp_path / "state.pt", SETTINGS).load()


def test_a_state_of_version_0_1_which_has_no_settings_is_not_resumed(tmp_path):
    torch.save({"model": {}, "step": 100}, tmp_path / "state.pt")
    with pytest.raises(UserError, match="does not say with which settings it was trained"):
        StateFile(tmp_path / "state.pt", SETTINGS).load()


def test_settings_of_a_training_are_all_but_places_and_how_it_is_computed():
    config = OmegaConf.create(
        {
            "work_dir": "a",
            "output": "${work_dir}/b",
            "overwrite": True,
            "save_every": 3,
            "paths": {"data_dir": "d"},
            "runtime": {"device": "cpu"},
            "learning_rate": 0.1,
            "backbone": {"model_args": {"depth": 2}},
        }
    )
    assert training_settings(config) == {"learning_rate": 0.1, "backbone": {"model_args": {"depth": 2}}}


def test_a_digest_knows_names_shapes_and_values_and_no_order():
    tensors = {"a": torch.zeros(2, 3), "b": torch.ones(4)}
    digest = weights_digest(tensors)
    assert weights_digest(dict(reversed(tensors.items()))) == digest
    changed = [
        {**tensors, "a": torch.zeros(3, 2)},
        {"c": tensors["a"], "b": tensors["b"]},
        {**tensors, "b": torch.tensor([1.0, 1, 1, 1 + 1e-6])},
    ]
    assert len({digest, *map(weights_digest, changed)}) == 4
