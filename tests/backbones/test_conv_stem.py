"""conv_stem: one token per patch, which sees its own surroundings alone; explained exactly like every other embedding."""

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from cdam_bench.backbones import Backbone, create_vit, load_backbone
from cdam_bench.errors import UserError
from cdam_bench.estimators import CDAM, InputXGradient, RelevancePropagation
from tests.agreement import assert_agree
from tests.reference.cdam import cdam
from tests.reference.gradients import input_x_gradient
from tests.reference.model import for_each, textbook_model
from tests.reference.relevance import relevance_propagation

SMALL = {"patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2, "embed_layer": "conv_stem"}


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    vit = create_vit("vit_tiny_patch16_224", 3, 32, SMALL)
    for module in vit.patch_embed.proj:
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.normal_(module.running_mean)
    return Backbone(vit)


def test_a_token_sees_11_pixels_around_the_first_of_its_patch(backbone):
    stem = backbone.vit.patch_embed
    images = torch.randn(1, 3, 32, 32, requires_grad=True)
    tokens = stem(images)
    assert tokens.shape == (1, 64, 32)
    tokens[0, 8 * 3 + 5].sum().backward()
    rows, columns = images.grad[0].abs().sum(0).nonzero().T
    assert (rows.min(), rows.max()) == (4 * 3 - 5, 4 * 3 + 5)
    assert (columns.min(), columns.max()) == (4 * 5 - 5, 4 * 5 + 5)


@pytest.mark.parametrize(("estimator", "textbook"), [(CDAM, cdam), (RelevancePropagation, relevance_propagation)])
def test_patch_scores_agree_with_the_textbook(backbone, estimator, textbook):
    images, targets = torch.randn(2, 3, 32, 32), torch.tensor([[0, 2], [1, 0]])
    expected = for_each(textbook, textbook_model(backbone.vit), images, targets)[..., -64:]
    actual = estimator().token_scores(backbone, images, targets)
    assert_agree(actual, expected.reshape(actual.shape))


def test_pixel_gradients_agree_with_the_textbook(backbone):
    images, targets = torch.randn(2, 3, 32, 32), torch.tensor([[0, 2], [1, 0]])
    expected = for_each(input_x_gradient, textbook_model(backbone.vit), images, targets)
    assert_agree(InputXGradient().attribute(backbone, images, targets), expected)


def test_saved_weights_load_in_half_precision(backbone, tmp_path):
    path = tmp_path / "vit.safetensors"
    save_file({name: value.half() for name, value in backbone.vit.state_dict().items()}, path)
    loaded = load_backbone("vit_tiny_patch16_224", path, num_classes=3, image_size=32, model_args=SMALL)
    images = torch.randn(1, 3, 32, 32)
    assert_close(loaded(images), backbone(images), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"embed_layer": "stem"}, "embed_layer=stem is unknown: use conv_stem"), ({"patch_size": 8}, "patch_size=8")],
)
def test_what_it_cannot_be_is_said_in_one_line(changed, message):
    with pytest.raises(UserError, match=message):
        create_vit("vit_tiny_patch16_224", 3, 32, {**SMALL, **changed})
