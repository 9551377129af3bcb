"""Fine-tuning on phantoms: what is trained, what is written, and that base and change together are the model that was trained."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from cdam_bench.backbones import load_backbone
from cdam_bench.backbones.heads import LinearHead
from cdam_bench.configs import build_backbone, build_preprocessing, compose
from cdam_bench.datasets import Preprocessing
from cdam_bench.errors import UserError
from cdam_bench.lidc import finetuning as lidc
from cdam_bench.lidc.dataset import VIEWS, LidcNodules
from cdam_bench.lidc.finetuned import FineTuned
from cdam_bench.lidc.targets import Targets, measured
from tests.lidc.finetuning_runs import ARGS, MODEL, SMALL, base_backbone, finetune
from tests.runs import cdam_bench


def test_the_last_tensors_alone_are_trained_and_written(folder, tuned):
    changed, base = load_file(tuned), load_file(folder / "base.safetensors")
    # counted from the end: head weight and bias, norm weight and bias, and of the last block fc2 and fc1, each weight and bias
    expected = {
        f"{name}.{part}"
        for name in ("head", "norm", "blocks.1.mlp.fc1", "blocks.1.mlp.fc2")
        for part in ("weight", "bias")
    }
    assert set(changed) == expected
    assert all(not torch.equal(changed[name], base[name]) for name in expected if not name.startswith("head"))


def test_base_and_change_together_are_the_model_that_was_measured(folder, tuned):
    """The card's test accuracy again, from the cells' dataset and backbone."""
    card = json.loads(tuned.with_suffix(".json").read_text())
    backbone = base_backbone(folder)
    backbone = backbone.with_head(
        FineTuned(str(tuned), task="malignancy", split="paper", fold=1).build(backbone, Preprocessing(32))
    )
    dataset = LidcNodules(folder / "nodules.npz", Preprocessing(32), "malignancy", fold=1, views=VIEWS)
    assert (card["image"]["mean"], card["image"]["std"]) == (dataset.mean[0], dataset.std[0])
    logits = backbone.logits(torch.stack([dataset[i].image for i in range(len(dataset))])).reshape(-1, 3).mean(1)
    names = [dataset[i].image_id.partition("/")[0] for i in range(0, len(dataset), 3)]
    labels = dataset.nodules.table.set_index("nodule").label[names].to_numpy()
    assert card["scores"]["test"]["accuracy"] == ((logits.numpy() > 0) == labels).mean()
    pairs = [(a > b) + 0.5 * (a == b) for a in logits[labels == 1] for b in logits[labels == 0]]
    assert card["scores"]["test"]["auc"] == pytest.approx(float(np.mean(pairs)))
    assert sum(card["counts"].values()) == 60


def test_weights_for_another_fold_or_backbone_are_refused(folder, tuned):
    with pytest.raises(UserError, match="are for fold=1, not 2: fine-tune with fold=2"):
        FineTuned(str(tuned), fold=2).build(base_backbone(folder), Preprocessing(32))
    other = base_backbone(folder)
    with torch.no_grad():
        other.vit.blocks[0].attn.qkv.weight += 1
    with pytest.raises(UserError, match="started from another backbone"):
        FineTuned(str(tuned), fold=1).build(other, Preprocessing(32))
    with pytest.raises(UserError, match="made by `cdam-bench train lidc`"):
        FineTuned("nowhere.safetensors")


def test_a_cell_measures_all_metrics_for_every_biomarker(folder, tmp_path):
    assert finetune(folder, tmp_path, "task=biomarkers", "loss=mse", "trainable_layers=all", "dropout=0.1") == 0
    settings = [
        "dataset=phantom_biomarkers",
        f"dataset.nodules={folder}/nodules.npz",
        f"backbone.model_args={ARGS}",
        "backbone.image_size=32",
        "backbone.checkpoint=base.safetensors",
        f"paths.weights_dir={folder}",
        f"backbone.head.weights={tmp_path}/tuned.safetensors",
        "estimator=cdam",
    ]
    assert cdam_bench(tmp_path / "cells", *settings) == 0
    (file,) = (tmp_path / "cells").rglob("scores.csv")
    scores = pd.read_csv(file)
    assert len(scores) == 6
    for prefix in ("", "other_", *(f"target{k}_" for k in range(3, 9))):
        for name in ("A_LIF-MIF", "A_box", "compactness", "mask_pointing_game", "mask_positive_share"):
            assert f"{prefix}{name}" in scores
    # targets stand in the biomarkers' order, whatever their values
    assert set(scores.target) == {"subtlety"}
    assert set(scores.target8) == {"diameter"}
    assert scores.mask_area.between(0, 1).all()


def test_the_head_says_what_its_outputs_are(folder, tuned):
    backbone = base_backbone(folder)
    head = FineTuned(str(tuned)).build(backbone, Preprocessing(32))
    assert (head.names, head.output_kind) == (("malignancy",), "labels")
    assert torch.equal(head.weight, load_file(tuned)["head.weight"])


def test_a_picture_becomes_grey_and_is_normalised_as_the_training_nodules(tuned):
    card = json.loads(tuned.with_suffix(".json").read_text())
    prepare = FineTuned(str(tuned)).preprocessing(Preprocessing(224))
    picture = Image.new("RGB", (50, 40), (200, 100, 50))
    image = prepare(picture)
    assert image.shape == (3, 32, 32)  # the card's size
    grey = (0.2989 * 200 + 0.587 * 100 + 0.114 * 50) / 255  # ITU-R 601
    expected = (grey - card["image"]["mean"]) / card["image"]["std"]
    assert image.flatten().tolist() == pytest.approx([expected] * image.numel(), abs=1 / 255 / card["image"]["std"])
    again = prepare(prepare.to_pixels(image))
    torch.testing.assert_close(again, image, rtol=1e-3, atol=1e-3)


def test_the_backbone_and_the_preprocessing_of_a_picture_come_from_one_configuration(folder, tuned):
    """As `cdam-bench explain backbone=lidc_digits_vit` composes it."""
    settings = ["backbone=lidc_digits_vit", f"backbone.head.weights={tuned}", "backbone.head.fold=1"]
    settings += [word for word in SMALL if word.startswith("backbone.")] + [f"paths.weights_dir={folder}"]
    config = compose([*settings, "runtime.device=cpu"], "scripts/explain")
    backbone, preprocessing = build_backbone(config), build_preprocessing(config)
    assert backbone.head.names == ("malignancy",)
    image = preprocessing(Image.new("RGB", (50, 40), (200, 100, 50)))
    assert torch.equal(image[0], image[2])
    assert backbone.logits(image[None]).shape == (1, 1)
    changed = load_file(tuned)
    assert torch.equal(backbone.vit.state_dict()["norm.weight"], changed["norm.weight"])


def test_weights_for_images_of_another_size_are_refused(folder, tuned):
    larger = load_backbone(
        "vit_tiny_patch16_224", folder / "base.safetensors", LinearHead(24, 1), image_size=64, model_args=MODEL
    )
    with pytest.raises(UserError, match="give the same architecture, checkpoint and image_size"):
        FineTuned(str(tuned)).build(larger, Preprocessing(64))


def test_training_stops_when_validation_no_longer_improves(folder, tmp_path, monkeypatch):
    losses = iter([1.0, 0.5, 0.7, 0.8, 0.9, 0.1])

    class Scripted(torch.nn.Module):
        def forward(self, outputs, targets):
            return torch.tensor(next(losses)) if not outputs.requires_grad else (outputs - targets).square().mean()

    monkeypatch.setitem(lidc.LOSSES, "bce", Scripted)
    assert finetune(folder, tmp_path, "trainable_layers=all", "epochs=6", "patience=2") == 0
    card = json.loads((tmp_path / "tuned.json").read_text())
    assert (card["best epoch"], card["epochs"]) == (2, 4)


def test_scores_by_hand():
    labels = Targets("malignancy", torch.tensor([[0.0], [0.0], [1.0], [1.0]]), [0.0], [1.0])
    said = torch.tensor([[-1.0], [0.5], [0.2], [3.0]])
    assert measured(said, labels, np.arange(4)) == {"accuracy": 0.75, "auc": 0.75}
    truth = torch.zeros(2, 8)
    truth[1] = 2.0
    values = Targets("biomarkers", truth, [0.0] * 8, [1.0] * 8)
    off = truth.clone()
    off[0, 7] = 1.0  # one squared error of 1 in two nodules; the spread of each biomarker is 1
    scores = measured(off, values, np.arange(2))
    assert scores["mse"] == pytest.approx(0.5 / 8)
    assert scores["each"]["diameter"] == {"mse": 0.5, "r2": 0.5}
    assert scores["each"]["margin"] == {"mse": 0.0, "r2": 1.0}


def test_a_sweep_gives_every_setting_its_own_files():
    chosen = ["finetuning=lidc_sweep", "dropout=0.03", "trainable_layers=10", "batch_size=8"]
    config = compose(chosen, "scripts/finetune_lidc")
    assert config.schedule == "cyclic"
    assert config.variant == "_layers10_dropout0.03_batch8"


@pytest.mark.parametrize("backbone", ["dinov2_vits14_reg", "dinov2_vitb14_reg", "deit_vitb16", "dino_vits8"])
@pytest.mark.parametrize("task", ["malignancy", "biomarkers"])
def test_cells_look_for_the_weights_of_their_task_and_fold(task, backbone):
    chosen = (
        [] if backbone == "dinov2_vits14_reg" else [f"backbone=lidc_{backbone}"]
    )  # the first is the datasets' own choice
    cell = compose([f"dataset=lidc_{task}", "dataset.fold=3", *chosen])
    base = compose([f"backbone={backbone}"])
    assert cell.backbone.head.weights == f"lidc/lidc_{task}_{backbone}_paper_fold3.safetensors"
    assert (cell.backbone.head.task, cell.backbone.head.fold) == (task, 3)
    assert cell.backbone.checkpoint == base.backbone.checkpoint
    assert set(cell.metric) == {"fidelity", "box_sensitivity", "compactness", "mask_localisation"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task=cancer", "task=cancer is unknown: use one of malignancy, biomarkers"),
        ("loss=huber", "loss=huber does not go with task=malignancy: use bce"),
        ("schedule=none", "schedule=none is unknown: use one of exponential, cyclic"),
        ("trainable_layers=1", "trainable_layers=1: use 2 (the head alone) to"),
        ("dropout=2", "dropout=2: must be between 0 and 0.99"),
        ("fold=7", "fold=7: use 0 … 4, or single"),
        ("nodules=nowhere.npz", "nodules nowhere.npz not found"),
        ("backbone.checkpoint=gone.pth", "weights file gone.pth not found"),
    ],
)
def test_mistakes_are_one_line(folder, tmp_path, capsys, override, message):
    assert finetune(folder, tmp_path, override) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert message in told[-1]
    assert not (tmp_path / "tuned.safetensors").exists()
