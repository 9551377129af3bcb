"""Weights files of every official layout, with random values, give the source model's logits."""

import argparse

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer as TorchvisionViT

from cdam_bench.backbones import create_vit, load_backbone, load_weights
from cdam_bench.backbones.checkpoints import load_head, read_tensors
from cdam_bench.errors import UserError

SMALL = {"patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2}


def vit_of(seed=0, classes=0, size=32, **options):
    """A small timm ViT whose every tensor is random: also those that timm starts at 0 or 1."""
    vit = create_vit("vit_tiny_patch16_224", classes, size, {**SMALL, **options}).eval()
    return randomise(vit, seed)


def randomise(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.state_dict().values():
            value.copy_(0.3 * torch.randn(value.shape, generator=generator))
    return model.eval()


def images(size=32, count=2):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(7))


def assert_same_outputs(model, other, size=32):
    with torch.no_grad():
        torch.testing.assert_close(model(images(size)), other(images(size)), rtol=1e-5, atol=1e-5)


# The published key lists: every official backbone has the first; DINOv2 adds the last four.
DINO_KEYS = {
    "cls_token",
    "pos_embed",
    "patch_embed.proj.weight",
    "patch_embed.proj.bias",
    "norm.weight",
    "norm.bias",
} | {
    f"blocks.{{}}.{part}.{kind}"
    for part in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    for kind in ("weight", "bias")
}
DINOV2_EXTRA = {"register_tokens", "mask_token", "blocks.{}.ls1.gamma", "blocks.{}.ls2.gamma"}


def published_keys(patterns, depth):
    return {pattern.format(block) for pattern in patterns for block in range(depth)}


def test_dino_backbone_file_gives_the_source_models_features(tmp_path):
    source = vit_of()
    assert set(source.state_dict()) == published_keys(DINO_KEYS, SMALL["depth"])
    torch.save(source.state_dict(), tmp_path / "dino.pth")
    assert_same_outputs(load_weights(vit_of(seed=1), tmp_path / "dino.pth"), source)


def test_full_dino_checkpoint_gives_the_teacher_and_leaves_out_its_projection_head(tmp_path):
    teacher, student = vit_of(0), vit_of(1)
    projection = {"head.mlp.0.weight": torch.randn(8, 32), "head.last_layer.weight_g": torch.randn(8, 1)}
    wrapped = [{f"backbone.{key}": value for key, value in vit.state_dict().items()} for vit in (teacher, student)]
    content = {
        "teacher": wrapped[0] | projection,
        "student": {f"module.{key}": value for key, value in (wrapped[1] | projection).items()},
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
        "epoch": 3,
        "args": argparse.Namespace(arch="vit_small", lr=0.1),
    }
    torch.save(content, tmp_path / "full.pth")
    assert_same_outputs(load_weights(vit_of(2), tmp_path / "full.pth"), teacher)


def test_module_prefix_of_a_data_parallel_run_is_removed(tmp_path):
    source = vit_of()
    content = {f"module.backbone.{key}": value for key, value in source.state_dict().items()}
    torch.save({"state_dict": content}, tmp_path / "student.pth")
    assert_same_outputs(load_weights(vit_of(1), tmp_path / "student.pth"), source)


class DINOv2Reference(nn.Module):
    """DINOv2's own forward pass on its own names: [CLS] gets a position, registers come after it, without one."""

    def __init__(self, weights, vit):
        super().__init__()
        self.weights, self.vit = weights, vit

    def forward(self, x):
        weights, vit = self.weights, self.vit
        patches = vit.patch_embed(x)
        cls = weights["cls_token"].expand(len(x), -1, -1)
        x = torch.cat([cls, patches], dim=1) + weights["pos_embed"]
        x = torch.cat([x[:, :1], weights["register_tokens"].expand(len(x), -1, -1), x[:, 1:]], dim=1)
        return vit.norm(vit.blocks(x))[:, 0]


def dinov2_weights(vit):
    """The weights of a timm ViT without its tokens and positions, and DINOv2's in their place."""
    weights = {key: value for key, value in vit.state_dict().items() if "token" not in key and key != "pos_embed"}
    generator = torch.Generator().manual_seed(3)
    tokens = vit.patch_embed.num_patches + 1
    shapes = {
        "cls_token": (1, 1, 32),
        "pos_embed": (1, tokens, 32),
        "register_tokens": (1, 4, 32),
        "mask_token": (1, 32),
    }
    return weights | {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}


REGISTERS = {"reg_tokens": 4, "no_embed_class": True, "init_values": 1e-5}


def test_dinov2_file_with_registers_gives_the_source_models_features(tmp_path):
    source = vit_of(**REGISTERS)
    weights = dinov2_weights(source)
    assert set(weights) == published_keys(DINO_KEYS | DINOV2_EXTRA, SMALL["depth"])
    torch.save(weights, tmp_path / "dinov2.pth")
    loaded = load_weights(vit_of(seed=1, **REGISTERS), tmp_path / "dinov2.pth")
    assert_same_outputs(loaded, DINOv2Reference(weights, source))


@pytest.mark.parametrize(
    "architecture", ["vit_small_patch14_reg4_dinov2.lvd142m", "vit_base_patch14_reg4_dinov2.lvd142m"]
)
def test_timm_dinov2_has_the_layout_that_the_conversion_makes(architecture):
    with torch.device("meta"):
        vit = timm.create_model(architecture)
    official = published_keys(DINO_KEYS | DINOV2_EXTRA, 12) - {"register_tokens", "mask_token"} | {"reg_token"}
    assert set(vit.state_dict()) == official
    assert vit.no_embed_class
    assert vit.num_prefix_tokens == 5


@pytest.mark.parametrize("size", [32, 48], ids=["linear", "end to end, larger"])
def test_torchvision_file_gives_the_source_models_logits(tmp_path, size):
    """The class that torchvision's vit_b_16 is made with, small: the same keys for fewer blocks."""
    source = randomise(TorchvisionViT(size, 8, 3, 2, 32, 128, num_classes=10))
    torch.save(source.state_dict(), tmp_path / "swag.pth")
    assert_same_outputs(load_weights(vit_of(1, 10, size), tmp_path / "swag.pth"), source, size)


def test_torchvision_file_with_the_old_names_of_the_mlp_loads(tmp_path):
    source = randomise(TorchvisionViT(32, 8, 3, 2, 32, 128, num_classes=10))
    names = {".mlp.0.": ".mlp.linear_1.", ".mlp.3.": ".mlp.linear_2."}
    weights = source.state_dict()
    for new, old in names.items():
        weights = {key.replace(new, old): value for key, value in weights.items()}
    torch.save(weights, tmp_path / "swag.pth")
    assert_same_outputs(load_weights(vit_of(1, 10), tmp_path / "swag.pth"), source)


@pytest.mark.slow
def test_swag_at_full_size_gives_the_logits_of_torchvisions_vit_b_16(tmp_path):
    from torchvision.models import vit_b_16

    torch.manual_seed(0)
    source = vit_b_16(image_size=384).eval()
    nn.init.normal_(source.heads.head.weight, std=0.05)
    torch.save(source.state_dict(), tmp_path / "swag.pth")
    backbone = load_backbone("vit_base_patch16_224", tmp_path / "swag.pth", num_classes=1000, image_size=384)
    assert_same_outputs(backbone.logits, source, 384)


def test_deit_file_gives_the_source_models_logits(tmp_path):
    source = vit_of(classes=10)
    torch.save({"model": source.state_dict()}, tmp_path / "deit.pth")
    assert_same_outputs(load_weights(vit_of(1, 10), tmp_path / "deit.pth"), source)


def test_safetensors_file_gives_the_source_models_logits(tmp_path):
    source = vit_of(classes=10)
    save_file(source.state_dict(), tmp_path / "timm.safetensors")
    assert_same_outputs(load_weights(vit_of(1, 10), tmp_path / "timm.safetensors"), source)


def lightning_checkpoint(path, classes=10):
    """The layout of the paper's release: `model.*` and `linear.*` beside the trainer's state."""
    source, head = vit_of(), randomise(nn.Linear(32, classes), 5)
    content = {
        "epoch": 9,
        "pytorch-lightning_version": "1.9.0",
        "state_dict": {f"model.{key}": value for key, value in source.state_dict().items()}
        | {f"linear.{key}": value for key, value in head.state_dict().items()},
        "hyper_parameters": {"num_classes": classes},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.7), "dirpath": "checkpoints"}},
    }
    torch.save(content, path)
    return nn.Sequential(source, head)


def test_lightning_checkpoint_gives_backbone_and_head(tmp_path):
    source = lightning_checkpoint(tmp_path / "paper.ckpt")
    vit = load_weights(vit_of(1), tmp_path / "paper.ckpt")
    head = load_head(tmp_path / "paper.ckpt", 32, 10)
    assert_same_outputs(nn.Sequential(vit, head), source)


def test_lightning_checkpoint_alone_is_a_whole_classifier(tmp_path):
    source = lightning_checkpoint(tmp_path / "paper.ckpt")
    assert_same_outputs(load_weights(vit_of(1, 10), tmp_path / "paper.ckpt"), source)


def test_head_of_dinos_layout_that_reads_one_block_is_loaded(tmp_path):
    head = randomise(nn.Linear(32, 10))
    content = {"state_dict": {f"module.linear.{key}": value for key, value in head.state_dict().items()}, "epoch": 100}
    torch.save(content, tmp_path / "linear.pth")
    torch.testing.assert_close(load_head(tmp_path / "linear.pth", 32, 10).weight, head.weight)


def test_dinos_official_head_reads_the_cls_tokens_of_the_last_four_blocks(tmp_path):
    """Against timm's own intermediate layers, which DINO's evaluation concatenates in that order."""
    depth5 = {**SMALL, "depth": 5}
    source = randomise(create_vit("vit_tiny_patch16_224", 0, 32, depth5)).eval()
    head = randomise(nn.Linear(4 * 32, 10))
    torch.save(source.state_dict(), tmp_path / "dino.pth")
    content = {"state_dict": {f"module.linear.{key}": value for key, value in head.state_dict().items()}, "epoch": 100}
    torch.save(content, tmp_path / "linear.pth")
    backbone = load_backbone(
        "vit_tiny_patch16_224", tmp_path / "dino.pth", tmp_path / "linear.pth", 10, 32, model_args=depth5
    )
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        layers = source.get_intermediate_layers(images, n=4, norm=True, return_prefix_tokens=True)
        expected = head(torch.cat([prefix[:, 0] for _, prefix in layers], -1))
    torch.testing.assert_close(backbone.logits(images), expected, rtol=1e-5, atol=1e-5)


def test_a_head_of_another_width_is_refused_with_those_that_fit(tmp_path):
    torch.save({"state_dict": {"module.linear.weight": torch.zeros(10, 3 * 32)}}, tmp_path / "linear.pth")
    with pytest.raises(UserError, match="reads 96 features, but the backbone has 32: use one of 32, 64, 128, 160"):
        load_head(tmp_path / "linear.pth", 32, 10)


def test_separate_head_replaces_the_one_in_the_checkpoint(tmp_path):
    source, head = vit_of(classes=10), randomise(nn.Linear(32, 4), 5)
    torch.save({"model": source.state_dict()}, tmp_path / "deit.pth")
    save_file(head.state_dict(), tmp_path / "head.safetensors")
    backbone = load_backbone(
        "vit_tiny_patch16_224", tmp_path / "deit.pth", tmp_path / "head.safetensors", 4, 32, model_args=SMALL
    )
    with torch.no_grad():
        torch.testing.assert_close(
            backbone.logits(images()), head(source.forward_head(source.forward_features(images()), True))
        )


@pytest.mark.parametrize("options", [{}, REGISTERS], ids=["cls", "registers"])
def test_position_embeddings_are_resampled_to_another_image_size(tmp_path, options):
    source = vit_of(**options)
    save_file(source.state_dict(), tmp_path / "small.safetensors")
    larger = load_weights(vit_of(1, size=48, **options), tmp_path / "small.safetensors")
    prefix = 0 if options else 1
    torch.testing.assert_close(larger.pos_embed[:, :prefix], source.pos_embed[:, :prefix])
    grid = source.pos_embed[:, prefix:].reshape(1, 4, 4, 32).permute(0, 3, 1, 2)
    expected = nn.functional.interpolate(grid, size=(6, 6), mode="bicubic", antialias=True, align_corners=False)
    torch.testing.assert_close(larger.pos_embed[:, prefix:], expected.permute(0, 2, 3, 1).reshape(1, 36, 32))


def test_unaccounted_keys_are_listed(tmp_path):
    weights = vit_of().state_dict() | {"dist_token": torch.zeros(1), "teacher_temperature": torch.zeros(1)}
    torch.save({key: value for key, value in weights.items() if key != "norm.bias"}, tmp_path / "odd.pth")
    with pytest.raises(UserError, match=r"missing norm\.bias; unexpected dist_token, teacher_temperature"):
        load_weights(vit_of(1), tmp_path / "odd.pth")


def test_head_for_another_number_of_classes_is_refused(tmp_path):
    save_file(vit_of(classes=10).state_dict(), tmp_path / "ten.safetensors")
    with pytest.raises(UserError, match=r"a head for 10 classes, but backbone\.num_classes=1000"):
        load_weights(vit_of(1, classes=1000), tmp_path / "ten.safetensors")
    save_file({"weight": torch.zeros(10, 32)}, tmp_path / "head.safetensors")
    with pytest.raises(UserError, match=r"has 10 classes, but backbone\.num_classes=1000"):
        load_head(tmp_path / "head.safetensors", 32, 1000)


def test_backbone_file_without_classifier_asks_for_a_head(tmp_path):
    save_file(vit_of().state_dict(), tmp_path / "dino.safetensors")
    with pytest.raises(UserError, match=r"it has no classifier; give backbone\.head"):
        load_weights(vit_of(1, classes=10), tmp_path / "dino.safetensors")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_half_downloaded_file_is_an_error_that_names_it(tmp_path, suffix):
    path = tmp_path / f"half{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(vit_of().state_dict(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=rf"half{suffix} cannot be read .*half-downloaded; download or copy it again"):
        read_tensors(path)


class Malicious:
    def __reduce__(self):
        return print, ("this must never be printed",)


def test_objects_that_run_code_are_never_loaded(tmp_path, capsys):
    torch.save({"state_dict": vit_of().state_dict(), "extra": Malicious()}, tmp_path / "bad.pth")
    with pytest.raises(UserError, match="objects that run code are never loaded"):
        read_tensors(tmp_path / "bad.pth")
    assert "never be printed" not in capsys.readouterr().out
