"""The attention map against the attention matrix of the whole model."""

import torch

from cdam_bench.estimators import AttentionMap
from tests.agreement import assert_agree
from tests.reference.attention import attention_map
from tests.reference.model import for_each


def test_attention_map_is_the_cls_row_of_the_last_matrix(any_backbone, any_textbook, images, targets):
    expected = for_each(attention_map, any_textbook, images, targets).unflatten(-1, (4, 6))
    assert_agree(AttentionMap().token_scores(any_backbone, images, targets), expected)


def test_attention_map_is_the_same_for_every_target(backbone, images):
    maps = AttentionMap().attribute(backbone, images, torch.tensor([[0, 5], [6, 1]]))
    assert torch.equal(maps[:, 0], maps[:, 1])
