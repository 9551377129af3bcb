"""LeGrad in both readings against autograd through every block's attention matrix."""

import pytest
import torch

from cdam_bench.backbones import Backbone
from cdam_bench.errors import UserError
from cdam_bench.estimators import LeGrad, LeGradMean
from tests.agreement import assert_agree
from tests.conftest import VARIANTS, random_vit
from tests.reference.legrad import cls_token, legrad, mean_token
from tests.reference.model import for_each

METHODS = pytest.mark.parametrize("method", [LeGrad, LeGradMean])
READINGS = pytest.mark.parametrize(("method", "reading"), [(LeGrad, cls_token), (LeGradMean, mean_token)])


def expected_maps(model, images, targets, reading, layers=None):
    maps = for_each(lambda *one: legrad(*one, reading, layers), model, images, targets)
    return maps.unflatten(-1, (4, 6))


@READINGS
def test_legrad_equals_autograd_through_the_attention_matrices(
    any_backbone, any_textbook, images, targets, method, reading
):
    if any_backbone.last_block.blocks_read > 1:
        pytest.skip("LeGrad reads one block at a time")
    expected = expected_maps(any_textbook, images, targets, reading)
    assert_agree(method().token_scores(any_backbone, images, targets), expected)


@READINGS
@pytest.mark.parametrize("layers", [1, 2])
def test_legrad_sums_the_last_layers_alone(backbone, textbook, images, targets, method, reading, layers):
    expected = expected_maps(textbook, images, targets, reading, layers)
    assert_agree(method(layers=layers).token_scores(backbone, images, targets), expected)


@METHODS
def test_legrad_of_all_layers_is_the_sum_of_its_layers(backbone, images, targets, method):
    one, two, three = (method(layers=n).token_scores(backbone, images, targets) for n in (1, 2, 3))
    assert (two >= one).all()
    assert torch.equal(method().token_scores(backbone, images, targets), three)


@METHODS
def test_legrad_refuses_a_head_that_reads_several_blocks(images, targets, method):
    with pytest.raises(UserError, match="reads 4"):
        method().attribute(Backbone(random_vit(**VARIANTS["headof4blocks"])), images, targets)


@METHODS
@pytest.mark.parametrize("layers", [0, -1, 1.5])
def test_legrad_refuses_a_number_of_layers_that_cannot_be(method, layers):
    with pytest.raises(UserError, match=f"layers={layers}"):
        method(layers=layers)


@METHODS
def test_legrad_refuses_more_layers_than_there_are(backbone, images, targets, method):
    with pytest.raises(UserError, match="layers=4: the ViT has 3 blocks"):
        method(layers=4).attribute(backbone, images, targets)
