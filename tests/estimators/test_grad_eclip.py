"""Grad-ECLIP against hooks on the last block."""

import copy

import torch

from cdam_bench.backbones import Backbone
from cdam_bench.estimators import GradECLIP
from tests.agreement import assert_agree
from tests.reference.grad_eclip import grad_eclip
from tests.reference.model import for_each


def test_grad_eclip_equals_hooks_on_the_last_block(any_backbone, any_textbook, images, targets):
    expected = for_each(grad_eclip, any_textbook, images, targets).unflatten(-1, (4, 6))
    assert_agree(GradECLIP().token_scores(any_backbone, images, targets), expected)


def test_grad_eclip_is_zero_where_all_keys_are_alike(vit, images, targets):
    flat = copy.deepcopy(vit)
    width = flat.embed_dim
    flat.blocks[-1].attn.qkv.weight.data[width : 2 * width] = 0
    assert torch.equal(GradECLIP().attribute(Backbone(flat), images, targets), torch.zeros(2, 2, 32, 48))
