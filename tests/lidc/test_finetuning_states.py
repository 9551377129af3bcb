"""Fine-tuning that was killed, finished or asked for with other settings; what its nodules' digest sees."""

import copy
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from cdam_bench.backbones import create_vit
from cdam_bench.lidc import finetuning as lidc
from cdam_bench.lidc.finetuning import Finetuning, nodules_digest
from cdam_bench.lidc.nodule_set import NoduleSet
from tests.lidc.finetuning_runs import MODEL, finetune


@pytest.mark.parametrize("schedule", ["exponential", "cyclic"])
def test_a_killed_run_goes_on_to_the_same_weights(folder, tmp_path, monkeypatch, schedule):
    settings = (f"schedule={schedule}", "dropout=0.2", "trainable_layers=10", "cycle.epochs=2")
    assert finetune(folder, tmp_path / "whole", *settings) == 0
    epochs = kill_at(monkeypatch, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lidc, "save_finetuned", None)  # it must not get that far
        assert interrupted(folder, tmp_path / "killed", *settings)
    assert epochs == [0, 1, 2]
    assert finetune(folder, tmp_path / "killed", *settings) == 0
    assert epochs == [0, 1, 2, 2]
    whole, resumed = (load_file(tmp_path / name / "tuned.safetensors") for name in ("whole", "killed"))
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=1e-5, atol=1e-6)
    finetune(folder, tmp_path / "killed", *settings)
    assert epochs == [0, 1, 2, 2]  # done before


def kill_at(monkeypatch, count):
    """Interrupt the fine-tuning before its `count`-th epoch; gives the list of the epochs that were begun."""
    train_epoch, epochs = Finetuning._train_epoch, []

    def killed(self):
        epochs.append(self.epoch)
        if len(epochs) == count:
            raise KeyboardInterrupt
        return train_epoch(self)

    monkeypatch.setattr(Finetuning, "_train_epoch", killed)
    return epochs


def interrupted(folder, out, *overrides):
    try:
        return finetune(folder, out, *overrides) != 0
    except KeyboardInterrupt:
        return True


def test_a_killed_state_of_other_settings_is_refused_and_begun_anew_where_that_is_asked_for(
    folder, tmp_path, monkeypatch, capsys
):
    epochs = kill_at(monkeypatch, 3)
    assert interrupted(folder, tmp_path, "trainable_layers=10")
    state = (tmp_path / "work" / "tuned.pt").read_bytes()
    assert finetune(folder, tmp_path, "trainable_layers=10", "learning_rate=1e-3") == 2
    assert "is of a training with other settings (learning_rate: 0.003 → 0.001)" in capsys.readouterr().err
    assert (tmp_path / "work" / "tuned.pt").read_bytes() == state
    assert epochs == [0, 1, 2]
    assert finetune(folder, tmp_path, "trainable_layers=10", "learning_rate=1e-3", "overwrite=true") == 0
    assert epochs == [0, 1, 2, 0, 1, 2]
    assert json.loads((tmp_path / "tuned.json").read_text())["recipe"]["learning_rate"] == 1e-3


def test_finished_weights_are_replaced_by_other_settings_only_where_that_is_asked_for(folder, tmp_path, capsys):
    settings = ("epochs=1", "trainable_layers=10")
    assert finetune(folder, tmp_path, *settings) == 0
    assert list((tmp_path / "work").iterdir()) == []  # a finished run leaves no state
    files = [tmp_path / "tuned.safetensors", tmp_path / "results" / "lidc" / "tuned.json"]
    before = [file.read_bytes() for file in files]
    assert finetune(folder, tmp_path, *settings, "learning_rate=1e-3") == 2
    told = capsys.readouterr().err
    assert "tuned.safetensors was trained with other settings (learning_rate: 0.003 → 0.001): overwrite=true" in told
    assert [file.read_bytes() for file in files] == before
    assert finetune(folder, tmp_path, *settings, "learning_rate=1e-3", "overwrite=true") == 0
    assert [file.read_bytes() for file in files] != before


def test_a_finished_run_tells_another_results_folder_its_scores_without_training(folder, tmp_path, monkeypatch):
    settings = ("epochs=1", "trainable_layers=10")
    assert finetune(folder, tmp_path, *settings) == 0
    monkeypatch.setattr(Finetuning, "run", None)  # it must not be called
    assert finetune(folder, tmp_path, *settings, f"results_dir={tmp_path}/elsewhere") == 0
    first, second = (tmp_path / name / "lidc" / "tuned.json" for name in ("results", "elsewhere"))
    assert first.read_text() == second.read_text()


def test_other_nodules_and_other_start_weights_are_another_training(folder, tmp_path, monkeypatch, capsys):
    other = tmp_path / "other"
    other.mkdir()
    torch.manual_seed(2)
    save_file(create_vit("vit_tiny_patch16_224", 10, 32, MODEL).state_dict(), other / "base.safetensors")
    nodules = NoduleSet.load(folder / "nodules.npz")
    nodules.crops[[0, 1]] = nodules.crops[[1, 0]]
    nodules.save(other / "nodules.npz")
    epochs, few = kill_at(monkeypatch, 2), "trainable_layers=10"
    assert interrupted(folder, tmp_path, few)
    assert finetune(folder, tmp_path, few, f"nodules={other}/nodules.npz") == 2
    assert "other settings (nodules: " in capsys.readouterr().err
    assert finetune(folder, tmp_path, few, f"paths.weights_dir={other}") == 2
    assert "base.sha256: " in capsys.readouterr().err
    assert epochs == [0, 1]


def test_the_digest_of_nodules_sees_swapped_crops_labels_and_every_voxel(folder):
    original = NoduleSet.load(folder / "nodules.npz")

    def digest(change):
        nodules = copy.deepcopy(original)
        change(nodules)
        return nodules_digest(nodules)

    def swapped(nodules):
        nodules.crops[[1, 4]] = nodules.crops[[4, 1]]

    def one_voxel(nodules):
        nodules.crops[3, 5, 6, 7] += 1

    def one_label(nodules):
        nodules.table.loc[2, "label"] = 1 - nodules.table.label[2]

    def patients(nodules):
        nodules.table.loc[2, "patient"] = "someone else"

    def nothing(_nodules):
        pass

    digests = [digest(change) for change in (nothing, swapped, one_voxel, one_label, patients)]
    assert len(set(digests)) == 5
    assert digest(nothing) == digests[0]


def test_the_digest_of_nodules_does_not_depend_on_their_order_in_the_file(folder):
    nodules = NoduleSet.load(folder / "nodules.npz")
    turned = NoduleSet(nodules.table[::-1].reset_index(drop=True), nodules.crops[::-1], nodules.masks[::-1])
    assert nodules_digest(turned) == nodules_digest(nodules)
