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
from cdam_bench.training.recipes import cifar10
from cdam_bench.training.recipes.cifar10 import (
    SceneBatches,
    SceneViT,
    augmented,
    cifar10_accuracy,
    mimic_trained_attention,
)
from tests.datasets.cifar10_files import REAL, needs_real
from tests.scripts import command

SMALL = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
PREPROCESSING = Preprocessing(image_size=64, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return SceneViT(create_vit("vit_tiny_patch16_224", 10, 64, SMALL)).eval()


def batches(probability=0.0, **changed):
    generator = torch.Generator().manual_seed(0)
    photographs = torch.randint(256, (40, 3, 32, 32), generator=generator, dtype=torch.uint8)
    settings = {
        "quadrants_per_step": 6,
        "scenes_per_step": 4,
        "scenes_from": 10,
        "mosaic_share": 0.5,
        "seed": 0,
        "blur_sigma": 4.0,
        "patch_size": 8,
        "probability": probability,
        "device": torch.device("cpu"),
    }
    return SceneBatches(photographs, torch.arange(40) % 10, PREPROCESSING, **{**settings, **changed})


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


def test_targets_are_the_classes_in_equal_shares_and_the_same_step_gives_the_same_batch():
    quadrants, targets = batches()(3)
    assert quadrants.shape == (6, 3, 32, 32)
    assert_close(targets.sum(1), torch.ones(6))
    assert_close(targets.max(1).values, torch.ones(6))
    scenes, targets = batches()(12)
    assert scenes.shape == (4, 3, 64, 64)
    assert_close(targets.sum(1), torch.ones(4))
    assert (targets[:2].max(1).values <= 0.75).all()
    assert_close(targets[2:].max(1).values, torch.ones(2))
    assert torch.equal(scenes, batches()(12)[0])
    assert not torch.equal(scenes, batches(seed=1)(12)[0])


def test_every_photograph_comes_once_in_an_epoch():
    source = batches()
    orders = [source._order(epoch) for epoch in (0, 1)]
    assert all(torch.equal(order.sort().values, torch.arange(40)) for order in orders)
    assert not torch.equal(*orders)


def test_an_augmented_photograph_is_the_photograph_mirrored_and_shifted():
    """Of a picture whose colours are coordinates, the inner pixels tell where they came from."""
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    picture = torch.stack([0.3 + rows / 100, 0.3 + columns / 100, torch.full_like(rows, 0.5)])
    changed = augmented(picture[None].repeat(64, 1, 1, 1), torch.Generator().manual_seed(0))
    steps = changed[:, 1, 16, 17] - changed[:, 1, 16, 16]  # contrast, with a sign where it is mirrored
    assert {bool(step > 0) for step in steps} == {True, False}
    contrast = steps.abs() * 100
    assert ((contrast > 0.79) & (contrast < 1.21)).all()
    assert_close(changed[:, 0, 17, 16] - changed[:, 0, 16, 16], contrast / 100, rtol=1e-4, atol=1e-5)


def test_accuracy_of_a_model_that_knows_and_of_one_that_guesses():
    """Photographs whose colour is their class; a model that reads the colours of the four quadrants."""
    labels = torch.arange(10).repeat_interleave(100)
    photographs = (labels * 20 + 20).to(torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 3, 32, 32)
    plain = Preprocessing(image_size=64, mean=(0, 0, 0), std=(1, 1, 1))

    def knows(scenes):
        pixels = scenes[:, :, [[8], [40]], [[8, 40]]]  # (B, 3, 2, 2)
        grey = (pixels.amax(1) - pixels.amin(1) < 1e-6).flatten(1)  # backgrounds are coloured
        classes = (pixels[:, 0].flatten(1) * 255 / 20 - 1).round().long().clamp(0, 9)
        return torch.zeros(len(scenes), 10).scatter_add(1, classes, grey.float())

    accuracy = cifar10_accuracy(knows, photographs, labels, plain, torch.device("cpu"))
    assert accuracy == {"single": 1.0, "mosaic": 1.0, "apart": 1.0}
    guess = cifar10_accuracy(
        lambda scenes: torch.arange(10.0).flip(0).expand(len(scenes), 10),
        photographs,
        labels,
        plain,
        torch.device("cpu"),
    )
    assert guess["single"] == pytest.approx(0.1)
    assert guess["mosaic"] == pytest.approx(0.4, abs=0.05)
    assert guess["apart"] == guess["mosaic"]


@pytest.fixture
def few_photographs(monkeypatch):
    """Random photographs instead of CIFAR-10's, and no measuring; the list can be changed."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(10).repeat_interleave(4)
    images = torch.randint(256, (40, 3, 32, 32), generator=generator, dtype=torch.uint8)
    names = [f"{label}/{place}" for place, label in enumerate(labels.tolist())]
    monkeypatch.setattr(cifar10, "load_photographs", lambda *_: Photographs(images, labels, names))
    monkeypatch.setattr(cifar10, "cifar10_accuracy", lambda *_: {"single": 0.5, "mosaic": 0.25, "apart": 0.25})
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
