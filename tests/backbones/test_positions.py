"""Position embeddings of another grid are those that the model's own code computes."""

import math

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cdam_bench.backbones import Backbone, create_vit, from_hugging_face, load_weights
from tests.backbones.hugging_face_models import make

SMALL = {"embed_dim": 16, "depth": 1, "num_heads": 2}
PLAIN, REGISTERS = "vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2"
TRAINED = 7 * 14  # side of the images that the files below are for, in pixels


def vit_of(architecture, size=TRAINED):
    vit = create_vit(architecture, 0, size, SMALL).eval()
    generator = torch.Generator().manual_seed(0)
    vit.pos_embed.data = torch.randn(vit.pos_embed.shape, generator=generator)
    return vit


def own_code(grid, rows, columns, antialias, offset):
    """DINOv2's: by factors if there is an offset, else to the size; grid (1, N, D) of patches alone."""
    count, width = grid.shape[1:]
    side = int(math.sqrt(count))
    square = grid.reshape(1, side, side, width).permute(0, 3, 1, 2)
    if offset:
        how = {"scale_factor": ((rows + offset) / math.sqrt(count), (columns + offset) / math.sqrt(count))}
    else:
        how = {"size": (rows, columns)}
    found = nn.functional.interpolate(square, mode="bicubic", antialias=antialias, **how)
    assert found.shape[-2:] == (rows, columns)
    return found.permute(0, 2, 3, 1).reshape(1, -1, width)


OWN = {PLAIN: (False, 0.1), REGISTERS: (True, 0.0), "vit_small_patch14_reg4_dinov2.lvd142m": (True, 0.0)}


def patches(vit):
    return vit.pos_embed[:, 0 if vit.no_embed_class else 1 :]


@pytest.mark.parametrize("size", [(4, 4), (9, 9), (4, 9)])
@pytest.mark.parametrize("architecture", OWN)
def test_dinov2s_positions_at_another_image_size_are_those_of_its_own_code(architecture, size):
    vit = vit_of(architecture)
    other = Backbone(vit).with_image_size((14 * size[0], 14 * size[1])).model
    torch.testing.assert_close(patches(other), own_code(patches(vit), *size, *OWN[architecture]), rtol=1e-5, atol=1e-6)
    assert torch.equal(other.pos_embed[:, :1], vit.pos_embed[:, :1]) or vit.no_embed_class


@pytest.mark.parametrize("architecture", [PLAIN, REGISTERS])
def test_weights_loaded_into_another_size_get_the_same_positions(architecture, tmp_path):
    vit = vit_of(architecture)
    save_file(vit.state_dict(), tmp_path / "dinov2.safetensors")
    loaded = load_weights(create_vit(architecture, 0, 4 * 14, SMALL), tmp_path / "dinov2.safetensors")
    torch.testing.assert_close(patches(loaded), own_code(patches(vit), 4, 4, *OWN[architecture]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("architecture", [PLAIN, REGISTERS])
def test_pretrained_weights_at_another_size_get_the_same_positions(architecture, tmp_path):
    vit = vit_of(architecture, 518)
    save_file(vit.state_dict(), tmp_path / "pretrained.safetensors")
    overlay = {"pretrained_cfg_overlay": {"file": str(tmp_path / "pretrained.safetensors"), "num_classes": 0}}
    found = create_vit(architecture, 0, 224, SMALL | overlay, pretrained=True)
    assert found.patch_embed.img_size == (224, 224)
    torch.testing.assert_close(patches(found), own_code(patches(vit), 16, 16, *OWN[architecture]), rtol=1e-4, atol=1e-5)


def test_all_other_families_are_resampled_as_timm_does():
    vit = vit_of("vit_tiny_patch16_224", 96)
    expected = own_code(patches(vit), 4, 9, True, 0.0)
    found = patches(Backbone(vit).with_image_size((64, 144)).model)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["dinov2", "dinov2-registers", "vit"])
def test_a_resized_model_of_hugging_face_gives_what_transformers_does_at_that_size(name):
    model = make(name)
    backbone = from_hugging_face(model)
    images = torch.randn(2, 3, 24, 48, generator=torch.Generator().manual_seed(4))
    always = {} if "dinov2" in name else {"interpolate_pos_encoding": True}  # DINOv2 always resamples
    with torch.no_grad():
        expected = model(pixel_values=images, **always).logits
        torch.testing.assert_close(backbone.with_image_size((24, 48)).logits(images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["dinov2", "dinov2-registers"])
def test_positions_are_those_of_transformers_embeddings(name):
    model = make(name)
    embeddings = next(part for part in model.modules() if hasattr(part, "interpolate_pos_encoding"))
    with torch.no_grad():
        embeddings.position_embeddings.copy_(torch.randn(embeddings.position_embeddings.shape))
        expected = embeddings.interpolate_pos_encoding(torch.zeros(1, 1 + 2 * 3, 24), 16, 24)[:, 1:]
    found = patches(from_hugging_face(model).with_image_size((16, 24)).model)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
