"""conf/backbone: every backbone of the paper can be composed, built and found at its official address."""

from urllib.parse import urldefrag

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from timm.models import get_pretrained_cfg
from torchvision.models import ViT_B_16_Weights

from cdam_bench.backbones import Backbone, create_vit
from cdam_bench.configs import config_dir
from cdam_bench.estimators import CDAM

WIDTHS = {"vitti": 192, "vits": 384, "vitb": 768}
PREFIX_TOKENS = {"dinov2_vits14_reg": 5, "dinov2_vitb14_reg": 5}
NAMES = [
    "dino_vits8",
    "dino_vits16",
    "dino_vitb8",
    "dino_vitb16",
    "swag_vitb16",
    "deit_vitb16",
    "deit_vits16",
    "deit_vitti16",
    "dinov2_vits14_reg",
    "dinov2_vitb14_reg",
]


def compose_backbone(name):
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose(overrides=[f"+backbone={name}"]).backbone


@pytest.mark.parametrize("name", NAMES)
def test_backbone_is_complete_and_can_be_built(name):
    config = compose_backbone(name)
    with torch.device("meta"):
        vit = create_vit(config.architecture, config.num_classes, config.image_size, config.model_args)
        backbone = Backbone(vit)
    assert backbone.num_prefix_tokens == PREFIX_TOKENS.get(name, 1)
    assert backbone.embed_dim == WIDTHS[name.split("_")[1].rstrip("0123456789")]
    assert str(backbone.patch_size) in name
    assert config.licence
    assert config.source.startswith("https://")
    assert config.head is not None or "head.weight" in vit.state_dict()
    preprocessing = instantiate(config.preprocessing)
    assert preprocessing.image_size == config.image_size
    assert preprocessing.interpolation.value == "bicubic"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "swag_vitb16"])
def test_address_is_the_one_timm_knows(name):
    config = compose_backbone(name)
    known = get_pretrained_cfg(config.architecture)
    assert urldefrag(config.checkpoint).url == known.url
    assert tuple(config.preprocessing.mean) == known.mean
    assert tuple(config.preprocessing.std) == known.std


def test_swag_is_the_one_torchvision_knows():
    config = compose_backbone("swag_vitb16")
    weights = ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1
    official, ours = weights.transforms(), instantiate(config.preprocessing)
    assert config.checkpoint == weights.url
    picture = torch.rand(3, 400, 500)
    torch.testing.assert_close(ours(picture), official(picture), rtol=1e-4, atol=1e-4)


def test_swag_at_384_gives_a_grid_of_24_by_24():
    config = compose_backbone("swag_vitb16")
    vit = create_vit(config.architecture, 3, config.image_size, {"embed_dim": 24, "depth": 2, "num_heads": 2})
    scores = CDAM().token_scores(Backbone(vit), torch.randn(1, 3, 384, 384), torch.tensor([1]))
    assert scores.shape == (1, 24, 24)


def test_cdam_ignores_cls_and_registers():
    """Against plain autograd on all tokens: CDAM is the part after the five prefix tokens, in the grid's order."""
    torch.manual_seed(0)
    config = compose_backbone("dinov2_vits14_reg")
    vit = create_vit(config.architecture, 3, config.image_size, {"embed_dim": 24, "depth": 2, "num_heads": 2})
    backbone = Backbone(vit)
    images = torch.randn(1, 3, 224, 224)
    seen = []
    hook = vit.blocks[-1].norm1.register_forward_hook(lambda _m, _i, out: seen.append(out.requires_grad_()) or out)
    gradient = torch.autograd.grad(vit(images)[0, 1], seen[0])[0]
    hook.remove()
    every_token = (seen[0] * gradient).sum(-1)
    assert every_token.shape == (1, 5 + 16 * 16)
    scores = CDAM().token_scores(backbone, images, torch.tensor([1]))
    torch.testing.assert_close(scores, every_token[:, 5:].reshape(1, 16, 16).detach(), rtol=1e-4, atol=1e-6)
