"""Deep CDAM against autograd at every block's norm1, plain and with detached factors."""

import copy

import pytest
import torch

from cdam_bench.backbones import Backbone, ConceptHead
from cdam_bench.errors import UserError
from cdam_bench.estimators import CDAM, DeepCDAM
from tests.agreement import assert_agree
from tests.conftest import random_images, random_vit
from tests.reference.model import for_each, patches_only, textbook_model
from tests.reference.rules import norm1_gradients_of_blocks

both_gradients = pytest.mark.parametrize("gradient", ["plain", "conservative"])


def deep_cdam(model, image, target, gradient, blocks):
    """Σ over `blocks` of tokens times gradient at norm1."""
    pairs = norm1_gradients_of_blocks(model, image, target, gradient == "conservative")
    return patches_only(model, sum((pairs[b][0] * pairs[b][1]).sum(-1) for b in blocks))


@both_gradients
def test_deep_cdam_equals_autograd_at_every_block(any_backbone, any_textbook, images, targets, gradient):
    every = range(len(any_textbook.blocks))
    expected = for_each(deep_cdam, any_textbook, images, targets, [gradient] * 2, [every] * 2)
    actual = DeepCDAM(gradient=gradient).token_scores(any_backbone, images, targets)
    assert_agree(actual, expected.unflatten(-1, (4, 6)))


@both_gradients
@pytest.mark.parametrize(
    ("blocks", "indices"), [(2, (1, 2)), ("last=2", (1, 2)), ("half", (1, 2)), ([0, 2], (0, 2)), ([1], (1,))]
)
def test_deep_cdam_of_some_blocks_equals_autograd_there(backbone, textbook, images, targets, gradient, blocks, indices):
    expected = for_each(deep_cdam, textbook, images, targets, [gradient] * 2, [indices] * 2).unflatten(-1, (4, 6))
    assert_agree(DeepCDAM(blocks, gradient).token_scores(backbone, images, targets), expected)


def test_deep_cdam_of_the_last_block_with_the_plain_gradient_is_cdam(any_backbone, images, targets):
    actual = DeepCDAM("last=1", "plain").token_scores(any_backbone, images, targets)
    assert_agree(actual, CDAM().token_scores(any_backbone, images, targets), 1e-5)


def test_all_blocks_are_the_sum_of_each(backbone, images, targets):
    parts = [DeepCDAM([b]).token_scores(backbone, images, targets) for b in range(3)]
    assert_agree(DeepCDAM().token_scores(backbone, images, targets), sum(parts), 1e-5)


@both_gradients
def test_deep_cdam_of_a_concept_equals_autograd_of_the_similarity(vit, images, gradient):
    vectors = torch.randn(4, vit.embed_dim, generator=torch.Generator().manual_seed(5))
    head, targets = ConceptHead(vectors, "cosine"), torch.tensor([[1, 3], [0, 2]])
    expected = for_each(deep_cdam, textbook_model(vit, head), images, targets, [gradient] * 2, [range(3)] * 2)
    actual = DeepCDAM(gradient=gradient).token_scores(Backbone(copy.deepcopy(vit), head), images, targets)
    assert_agree(actual, expected.unflatten(-1, (4, 6)))


def test_deep_cdam_does_not_depend_on_the_batch_or_on_other_targets(backbone):
    images, targets = random_images(4, seed=3), torch.tensor([[0, 1], [2, 3], [4, 5], [6, 0]])
    together = DeepCDAM().attribute(backbone, images, targets)
    alone = [DeepCDAM().attribute(backbone, images[b : b + 1], targets[b : b + 1]) for b in range(4)]
    apart = [DeepCDAM().attribute(backbone, images, targets[:, k]) for k in range(2)]
    assert_agree(torch.cat(alone), together, 1e-5)
    assert_agree(torch.stack(apart, 1), together, 1e-5)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"blocks": "first"}, "blocks=first is unknown: use all, half, a number n for the last n, or a list"),
        ({"blocks": "last=0"}, "blocks=last=0 is unknown"),
        ({"blocks": 0}, "blocks=0: must be a positive whole number"),
        ({"blocks": []}, r"blocks=\[\]: name at least one"),
        ({"blocks": [-1]}, "blocks=-1: must be a whole number"),
        ({"gradient": "libra"}, "gradient=libra is unknown"),
    ],
)
def test_unknown_settings_are_refused(options, reason):
    with pytest.raises(UserError, match=reason):
        DeepCDAM(**options)


@pytest.mark.parametrize(("blocks", "reason"), [("last=4", "the ViT has 3 blocks"), ([0, 3], "the ViT has blocks 0…2")])
def test_blocks_that_the_vit_lacks_are_refused(images, targets, blocks, reason):
    with pytest.raises(UserError, match=reason):
        DeepCDAM(blocks).attribute(Backbone(random_vit()), images, targets)
