"""Random ViTs and images that the tests share."""

import copy
from itertools import product

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from cdam_bench.backbones import Backbone, LinearHead
from tests.reference.model import LastBlocksViT, textbook_model

# not square, so that rows and columns cannot be mixed up unnoticed
IMAGE_SIZE = (32, 48)
PATCH_SIZE = 8
NUM_CLASSES = 7

VARIANTS = {
    f"{1 + registers}prefix{'-layerscale' if scaled else ''}{'' if qkv_bias else '-noqkvbias'}": {
        "reg_tokens": registers,
        "init_values": 0.5 if scaled else None,
        "qkv_bias": qkv_bias,
    }
    for registers, scaled, qkv_bias in product((0, 4), (False, True), (True, False))
} | {
    "dinov2": {"reg_tokens": 4, "init_values": 0.5, "no_embed_class": True},
    "fcnorm": {"fc_norm": True},
    "prenorm-nofinalnorm": {"pre_norm": True, "final_norm": False},
    "scalenorms": {"reg_tokens": 4, "scale_attn_norm": True, "scale_mlp_norm": True},
    "headof4blocks": {"blocks_read": 4, "depth": 5},
    "headof2blocks": {"blocks_read": 2, "reg_tokens": 4},
}


def random_vit(seed=0, blocks_read=1, **options):
    """A small ViT with random weights of a size that makes its attention uneven and every bias and scale count."""
    settings = {
        "img_size": IMAGE_SIZE,
        "patch_size": PATCH_SIZE,
        "embed_dim": 48,
        "depth": 3,
        "num_heads": 3,
        "num_classes": NUM_CLASSES,
    }
    vit = (VisionTransformer if blocks_read == 1 else LastBlocksViT)(**(settings | options))
    if blocks_read > 1:
        vit.head = LinearHead(blocks_read * vit.embed_dim, NUM_CLASSES, blocks_read=blocks_read)
    generator = torch.Generator().manual_seed(seed)

    def normal(parameter, std, mean=0.0):
        parameter.data = mean + std * torch.randn(parameter.shape, generator=generator)

    for name, parameter in vit.named_parameters():
        if name.endswith(("gamma", "norm.weight", "norm1.weight", "norm2.weight", "norm_pre.weight")):
            normal(parameter, 0.3, mean=1)
        elif parameter.ndim == 1:
            normal(parameter, 0.3)
        elif name.endswith(("token", "pos_embed")):
            normal(parameter, 0.5)
        else:  # weights of linear layers and of the patch embedding
            normal(parameter, 1.3 * parameter[0].numel() ** -0.5)
    return vit.eval()


def random_images(count, seed=0, size=IMAGE_SIZE):
    """Images (count, 3, H, W) with structure at several scales."""
    generator = torch.Generator().manual_seed(1000 + seed)
    coarse = torch.randn(count, 3, 4, 6, generator=generator)
    smooth = nn.functional.interpolate(coarse, size, mode="bilinear")
    return smooth + 0.5 * torch.randn(count, 3, *size, generator=generator)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small models are slower on several threads, and the order of sums stays the same."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", params=VARIANTS, ids=list(VARIANTS))
def any_vit(request):
    """Every layout of a class-token ViT that the package accepts."""
    return random_vit(seed=list(VARIANTS).index(request.param), **VARIANTS[request.param])


@pytest.fixture(scope="session")
def any_backbone(any_vit):
    return Backbone(copy.deepcopy(any_vit))


@pytest.fixture(scope="session")
def any_textbook(any_vit):
    """The textbook's model of `any_backbone`."""
    return textbook_model(any_vit)


@pytest.fixture(scope="session")
def vit():
    """One ViT, with registers, for what does not depend on the layout."""
    return random_vit(seed=100, reg_tokens=4)


@pytest.fixture(scope="session")
def shared_backbone(vit):
    return Backbone(copy.deepcopy(vit))


@pytest.fixture
def backbone(shared_backbone):
    """A backbone of its own for every test, which may patch it."""
    return copy.copy(shared_backbone)


@pytest.fixture(scope="session")
def textbook(vit):
    return textbook_model(vit)


@pytest.fixture(scope="session")
def images():
    return random_images(2)


@pytest.fixture(scope="session")
def targets():
    """Two targets of each of the two images."""
    return torch.tensor([[3, 0], [6, 2]])


@pytest.fixture(scope="session")
def seeds():
    return torch.tensor([11, 12])
