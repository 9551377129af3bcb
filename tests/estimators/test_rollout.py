"""Attention rollout against the product of full matrices."""

import torch

from cdam_bench.backbones import Backbone
from cdam_bench.estimators import AttentionMap, AttentionRollout
from tests.agreement import assert_agree
from tests.conftest import random_vit
from tests.reference.model import for_each
from tests.reference.rollout import attention_rollout


def test_attention_rollout_equals_the_product_of_matrices(any_backbone, any_textbook, images, targets):
    expected = for_each(attention_rollout, any_textbook, images, targets).unflatten(-1, (4, 6))
    assert_agree(AttentionRollout().token_scores(any_backbone, images, targets), expected)


def test_attention_rollout_is_the_same_for_every_target(backbone, images):
    maps = AttentionRollout().attribute(backbone, images, torch.tensor([[0, 5], [6, 1]]))
    assert torch.equal(maps[:, 0], maps[:, 1])


def test_attention_rollout_of_a_single_block_is_half_the_attention_map(images, targets):
    backbone = Backbone(random_vit(depth=1))
    half = AttentionMap().attribute(backbone, images, targets) / 2
    assert torch.equal(AttentionRollout().attribute(backbone, images, targets), half)
