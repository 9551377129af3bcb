"""cifar10_vit: what its training sees, and that one quadrant alone and a whole scene are read alike."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from cdam_bench.backbones.files import PACKAGED
from cdam_bench.backbones.loading import create_vit, load_backbone
from cdam_bench.datasets.cifar10 import Photographs, load_photographs
from cdam_bench.datasets.preprocessing import Preprocessing
from cdam_bench.training.recipes import cifar10, scene_accuracy
from cdam_bench.training.recipes.cifar10 import SceneViT, mimic_trained_attention
from cdam_bench.training.recipes.scene_accuracy import cifar10_accuracy
from tests.datasets.cifar10_files import REAL, needs_real
from tests.scripts import command

SMALL = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return SceneViT(create_vit("vit_tiny_patch16_224", 10, 64, SMALL)).eval()


def test_the_finished_vit_is_plain_timm_and_gives_the_same_logits(model):
    scenes = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = model(scenes)
        assert_close(model.plain()(scenes), expected, rtol=1e-5, atol=1e-5)


def test_a_quadrant_alone_has_the_positions_of_its_place_in_the_scene(model):
    """Patch tokens before the first block, with the projection's part taken away."""
    seen = []
    model.vit.blocks[0].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0][:, 1:]))
    with torch.no_grad():
        model(torch.zeros(4, 3, 32, 32))
        model(torch.zeros(1, 3, 64, 64))
    alone, scene = seen
    grid = scene[0].reshape(8, 8, -1)
    for quadrant, (top, left) in enumerate(((0, 0), (0, 4), (4, 0), (4, 4))):
        assert_close(alone[quadrant].reshape(4, 4, -1), grid[top : top + 4, left : left + 4])


def test_mimetic_attention_has_the_wanted_products():
    torch.manual_seed(0)
    vit = create_vit("vit_tiny_patch16_224", 10, 64, {**SMALL, "embed_dim": 64, "num_heads": 1})
    mimic_trained_attention(vit)
    queries, keys, values = vit.blocks[0].attn.qkv.weight.detach().chunk(3)
    similar, handed_on = queries.T @ keys, vit.blocks[0].attn.proj.weight.detach() @ values
    assert similar.diagonal().mean() == pytest.approx(0.7, abs=0.05)
    assert handed_on.diagonal().mean() == pytest.approx(-0.4, abs=0.05)
    noise = handed_on + 0.4 * torch.eye(64)
    assert noise.std() == pytest.approx(0.4 / math.sqrt(64), rel=0.1)


@pytest.fixture
def few_photographs(monkeypatch):
    """Random photographs instead of CIFAR-10's, and no measuring; the list can be changed."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(10).repeat_interleave(4)
    images = torch.randint(256, (40, 3, 32, 32), generator=generator, dtype=torch.uint8)
    names = [f"{label}/{place}" for place, label in enumerate(labels.tolist())]
    monkeypatch.setattr(cifar10, "load_photographs", lambda *_: Photographs(images, labels, names))
    monkeypatch.setattr(scene_accuracy, "cifar10_accuracy", lambda *_: {"single": 0.5, "mosaic": 0.25, "apart": 0.25})
    return images


def train(folder, *overrides):
    settings = ("quadrant_steps=2", "scene_steps=1", "quadrants_per_step=8", "scenes_per_step=4", "workers=1")
    settings += ("runtime.device=cpu", "backbone.model_args.embed_dim=16", "backbone.model_args.depth=1")
    settings += ("backbone.model_args.num_heads=2", f"work_dir={folder}/work", f"output={folder}/small.safetensors")
    return command("train", "cifar10", *settings, *overrides)


def test_the_command_leaves_half_precision_weights_and_resumes_with_the_same_settings_alone(
    few_photographs, tmp_path, capsys
):
    assert train(tmp_path) == 0
    weights = load_file(tmp_path / "small.safetensors")
    assert weights["pos_embed"].dtype == torch.float16
    card = json.loads((tmp_path / "small.json").read_text())
    assert (card["config"]["quadrant_steps"], card["training"]["step"]) == (2, 3)
    assert "paths" not in card["config"]
    assert train(tmp_path) == 0
    assert all(torch.equal(value, weights[name]) for name, value in load_file(tmp_path / "small.safetensors").items())
    capsys.readouterr()
    assert train(tmp_path, "mosaic_share=0.25") == 2
    assert "is of a training with other settings (mosaic_share: 0.5 → 0.25)" in capsys.readouterr().err
    few_photographs[3, 0, 0, 0] += 1
    assert train(tmp_path) == 2
    assert "other settings (photographs: " in capsys.readouterr().err


@needs_real
def test_the_packaged_network_is_as_good_as_its_card_says():
    card = json.loads((PACKAGED / "cifar10_vit.json").read_text())
    settings = {name: card["config"]["backbone"][name] for name in ("architecture", "num_classes", "image_size")}
    backbone = load_backbone(
        checkpoint=PACKAGED / "cifar10_vit.safetensors",
        model_args=card["config"]["backbone"]["model_args"],
        **settings,
    )
    colours = card["config"]["backbone"]["preprocessing"]
    preprocessing = Preprocessing(64, mean=colours["mean"], std=colours["std"])
    photographs = load_photographs(REAL, "test")
    every_tenth = slice(None, None, 10)
    accuracy = cifar10_accuracy(
        backbone, photographs.images[every_tenth], photographs.labels[every_tenth], preprocessing, torch.device("cpu")
    )
    assert list(accuracy.values()) == pytest.approx(list(card["test accuracy"].values()), abs=0.03)
