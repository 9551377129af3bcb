"""Backbone: the same outputs as the ViT it wraps, and clear errors for what it cannot explain."""

import copy

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from cdam_bench.backbones import Backbone, ConceptHead, JoinedHeads, LinearHead
from cdam_bench.backbones.loading import chosen_precision
from cdam_bench.errors import UserError
from tests.agreement import assert_agree
from tests.conftest import IMAGE_SIZE, random_images, random_vit


def test_logits_equal_those_of_the_whole_model(any_backbone, any_textbook, images):
    assert_agree(any_backbone.logits(images), any_textbook(images.double()), 1e-5)


def test_features_are_what_the_models_own_head_reads(any_backbone, any_textbook, images):
    read = []
    handle = any_textbook.head.register_forward_pre_hook(lambda _module, inputs: read.append(inputs[0]))
    any_textbook(images.double())
    handle.remove()
    assert_agree(any_backbone.features(images), read[0], 1e-5)


def test_a_head_that_reads_more_blocks_than_there_are_is_refused():
    with pytest.raises(UserError, match="reads the last 4 blocks, but the ViT has 3"):
        Backbone(random_vit(), LinearHead(4 * 48, 7, blocks_read=4))


def test_joined_heads_may_read_different_numbers_of_blocks(images):
    vit, four = random_vit(depth=5), LinearHead(4 * 48, 7, blocks_read=4)
    joined = Backbone(vit, JoinedHeads(four, vit.head))
    assert joined.num_classes == 14
    separate = torch.cat([Backbone(vit, four).logits(images), Backbone(vit).logits(images)], 1)
    assert_agree(joined.logits(images), separate, 1e-5)


def test_a_vit_of_a_single_block_gives_the_same_logits(images):
    vit = random_vit(depth=1)
    assert_agree(Backbone(vit).logits(images), vit(images), 1e-5)


def test_block_inputs_are_the_residual_stream_before_every_block(any_backbone, any_textbook, images):
    expected = []
    handles = [block.register_forward_pre_hook(lambda _m, x: expected.append(x[0])) for block in any_textbook.blocks]
    any_textbook(images.double())
    for handle in handles:
        handle.remove()
    for actual, wanted in zip(any_backbone.block_inputs(images), expected, strict=True):
        assert_agree(actual, wanted, 1e-5)
    assert_agree(any_backbone.tokens(images), expected[-1], 1e-5)


def test_the_vit_is_frozen_and_in_eval_mode():
    backbone = Backbone(random_vit().train())
    assert not any(module.training for part in (backbone.vit, backbone.head) for module in part.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_with_head_shares_the_vit_and_leaves_the_first_backbone_alone(backbone, images):
    before = backbone.logits(images)
    other = backbone.with_head(ConceptHead(torch.ones(2, backbone.embed_dim)))
    assert other.vit is backbone.vit
    assert torch.equal(backbone.logits(images), before)
    assert_agree(other.logits(images), backbone.features(images).sum(-1, keepdim=True).expand(-1, 2))
    assert (backbone.num_classes, other.num_classes) == (7, 2)


def test_properties_are_those_of_the_vit(backbone):
    assert (backbone.patch_size, backbone.num_prefix_tokens, backbone.embed_dim) == (8, 5, 48)
    assert backbone.image_size == IMAGE_SIZE
    assert backbone.grid(torch.zeros(1, 3, *IMAGE_SIZE)) == (4, 6)


def test_bf16_changes_logits_a_little_and_explained_outputs_not_at_all(vit, images):
    exact, rounded = Backbone(copy.deepcopy(vit)), Backbone(copy.deepcopy(vit), precision="bf16")
    assert rounded.logits(images).dtype == torch.float32
    assert not torch.equal(rounded.logits(images), exact.logits(images))
    assert_agree(rounded.logits(images), exact.logits(images), 0.1)
    assert torch.equal(rounded(images), exact(images))


def gated_vit():
    vit = random_vit()
    vit.blocks[1].attn.gate = nn.Linear(48, 48)
    return vit


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: random_vit(global_pool="avg"), "pooled by global_pool='avg', not by"),
        (lambda: random_vit(qk_norm=True), "blocks other than the standard"),
        (gated_vit, "blocks other than the standard"),
    ],
    ids=["mean", "query and key norms", "gates"],
)
def test_methods_that_go_through_the_blocks_refuse_a_vit_without_the_closed_form_and_name_those_that_work(make, reason):
    backbone = Backbone(make())
    for ask in (lambda: backbone.vit, lambda: backbone.last_block, lambda: backbone.embed(torch.zeros(1, 3, 32, 48))):
        with pytest.raises(UserError, match=rf"{reason}.*cdam, smooth_cdam"):
            ask()


def test_a_vit_that_pools_nothing_needs_a_head_that_reads_all_its_tokens(images):
    vit = random_vit(global_pool="")
    with pytest.raises(UserError, match="an output for every token"):
        Backbone(vit)
    tokens = vit.forward_features(images)  # (B, 1 + 24, D)
    head = nn.Sequential(nn.Flatten(), nn.Linear(25 * 48, 4))
    backbone = Backbone(vit, head)
    assert backbone.num_classes == 4
    assert_agree(backbone.logits(images), head(tokens), 1e-5)


def test_another_kind_of_model_is_refused():
    with pytest.raises(UserError, match="Linear"):
        Backbone(nn.Linear(2, 2))


def test_an_unknown_precision_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match="fp32, tf32, bf16"):
        Backbone(random_vit(), precision="fp8")


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((3, 32, 48), "expected"),
        ((2, 1, 32, 48), "expected"),
        ((2, 3, 32, 50), "not divisible by the patch size 8"),
        ((2, 3, 48, 32), "built for 32×48"),
        ((2, 3, 64, 64), "image_size"),
    ],
)
def test_images_of_a_wrong_shape_are_refused(backbone, shape, reason):
    with pytest.raises(UserError, match=reason):
        backbone.logits(torch.zeros(shape))


def test_a_vit_for_square_images_gives_the_same_logits():
    vit = VisionTransformer(img_size=64, patch_size=8, embed_dim=48, depth=3, num_heads=3, num_classes=5).eval()
    images = random_images(2, size=(64, 64))
    assert_agree(Backbone(vit).logits(images), vit(images), 1e-5)


def test_automatic_precision_is_bf16_on_cuda_alone_and_a_named_one_stays():
    assert chosen_precision("auto", torch.device("cpu")) == "fp32"
    assert chosen_precision("auto", torch.device("cuda")) == "bf16"
    assert chosen_precision("tf32", torch.device("cuda")) == "tf32"
