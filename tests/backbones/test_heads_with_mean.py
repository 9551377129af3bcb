"""Heads that read the mean patch token beside [CLS], as the official ones of DINO (ViT-B) and DINOv2, against their own recipes."""

import pytest
import torch
from torch import nn

from cdam_bench.backbones import Backbone, JoinedHeads, LinearHead
from cdam_bench.backbones.checkpoints import load_head
from cdam_bench.errors import UserError
from cdam_bench.estimators import CDAM
from tests.agreement import assert_agree
from tests.conftest import NUM_CLASSES, random_vit

DIM = 48


def normalised_layers(vit, images, count):
    """[CLS] (B, D) and patch tokens (B, N, D) after each of the last blocks and the final norm."""
    layers = vit.get_intermediate_layers(images, n=count, norm=True, return_prefix_tokens=True)
    return [(prefix[:, 0], patches) for patches, prefix in layers]


@pytest.mark.parametrize("blocks", [1, 4])
def test_dinov2s_linear_heads_read_cls_of_the_blocks_and_then_the_mean_patch_token(tmp_path, images, blocks):
    vit = random_vit(depth=5, reg_tokens=4)
    official = nn.Linear((blocks + 1) * DIM, NUM_CLASSES)
    torch.save(official.state_dict(), tmp_path / "head.pth")
    layers = normalised_layers(vit, images, blocks)
    read = torch.cat([*(cls_token for cls_token, _ in layers), layers[-1][1].mean(1)], 1)
    backbone = Backbone(vit, load_head(tmp_path / "head.pth", DIM, NUM_CLASSES))
    assert_agree(backbone.features(images), read, 1e-5)
    assert_agree(backbone.logits(images), official(read), 1e-5)


def test_dinos_linear_head_for_vit_b_has_cls_and_mean_in_turns(tmp_path, images):
    vit = random_vit()
    official = nn.Linear(2 * DIM, NUM_CLASSES)
    named = {f"module.linear.{name}": value for name, value in official.state_dict().items()}
    torch.save({"state_dict": named}, tmp_path / "head.pth")
    ((cls_token, patches),) = normalised_layers(vit, images, 1)
    read = torch.stack([cls_token, patches.mean(1)], -1).flatten(1)  # number by number
    backbone = Backbone(vit, load_head(tmp_path / "head.pth", DIM, NUM_CLASSES))
    assert_agree(backbone.logits(images), official(read), 1e-5)


@pytest.mark.parametrize("blocks", [1, 4])
def test_cdam_of_such_heads_equals_autograd_through_the_whole_model(images, targets, blocks):
    vit = random_vit(depth=5, reg_tokens=4)
    torch.manual_seed(0)
    head = LinearHead((blocks + 1) * DIM, NUM_CLASSES, blocks_read=blocks, reads_mean=True)
    backbone = Backbone(vit, head)
    tokens = []

    def keep(_module, _inputs, output):
        tokens.append(output.detach().requires_grad_())
        return tokens[-1]

    handle = vit.blocks[-1].norm1.register_forward_hook(keep)
    layers = normalised_layers(vit, images, blocks)
    logits = head(torch.cat([*(cls_token for cls_token, _ in layers), layers[-1][1].mean(1)], 1))
    handle.remove()
    for k in range(2):
        chosen = logits.gather(1, targets[:, k : k + 1]).sum()
        (gradient,) = torch.autograd.grad(chosen, tokens[0], retain_graph=True)
        expected = (tokens[0] * gradient).sum(-1)[:, 5:].unflatten(1, (4, 6))
        assert_agree(CDAM().token_scores(backbone, images, targets[:, k]), expected.detach())


def test_a_head_without_weights_for_the_mean_is_the_head_that_reads_cls_alone(images, targets):
    vit = random_vit()
    head = LinearHead(2 * DIM, NUM_CLASSES, reads_mean=True)
    with torch.no_grad():
        head.weight[:, :DIM], head.weight[:, DIM:], head.bias[:] = vit.head.weight, 0, vit.head.bias
    plain, with_mean = Backbone(vit), Backbone(vit, head)
    assert type(plain.last_stage) is not type(with_mean.last_stage)
    assert_agree(with_mean.logits(images), plain.logits(images), 1e-5)
    assert_agree(CDAM().token_scores(with_mean, images, targets), CDAM().token_scores(plain, images, targets), 1e-5)


def test_such_heads_need_a_class_token_and_cannot_be_joined():
    head = LinearHead(2 * DIM, NUM_CLASSES, reads_mean=True)
    with pytest.raises(UserError, match="reads \\[CLS\\] of 1 blocks, but VisionTransformer is pooled by 'avg'"):
        Backbone(random_vit(global_pool="avg"), head)
    with pytest.raises(UserError, match="cannot be joined"):
        JoinedHeads(LinearHead(DIM, 3), head)
