"""The closed form of the last block against autograd through the whole model."""

import copy

import pytest
import torch

from cdam_bench.backbones import Backbone
from cdam_bench.estimators import CDAM
from tests.agreement import assert_agree
from tests.reference.attention import attention_matrices
from tests.reference.model import for_each, norm1_gradients, norm1_tokens, recorded


@pytest.fixture
def closed_form(any_backbone, images, targets):
    """The last block, what its [CLS] query sees in the images, ∂f/∂(heads' outputs), and the residual stream."""
    last, (residual, cls_stream) = any_backbone.last_block, any_backbone.tokens_and_cls(images)
    seen = last.attend(last.normalised(residual))
    return last, seen, last.output_gradients(seen.outputs, cls_stream, targets), residual


def textbook_gradient(model, image, target):
    """∂f_c/∂T (P + N, D)."""
    return norm1_gradients(model, image, target, norm1_tokens(model, image)[None])[0]


def qkv_and_gradients(model, image, target):
    """q, k, v of the last block and ∂f_c/∂ each, all (H, T, d)."""
    attn = model.blocks[-1].attn
    with recorded(attn.qkv) as outputs:
        logit = model(image[None].double())[0, target]
    (gradient,) = torch.autograd.grad(logit, outputs)
    shape = (-1, 3, attn.num_heads, attn.head_dim)
    return [part.detach().reshape(shape).permute(1, 2, 0, 3).unbind(0) for part in (outputs[0], gradient)]


def test_token_gradients_equal_autograd_for_every_token(closed_form, any_textbook, images, targets):
    last, seen, gradients, _ = closed_form
    expected = for_each(textbook_gradient, any_textbook, images, targets)
    actual = last.token_gradients(seen, gradients)
    first = any_textbook.num_prefix_tokens
    assert_agree(actual[:, :, first:], expected[:, :, first:])
    # [CLS] and each register on its own: the patch tokens' norm must not hide them
    assert_agree(actual[:, :, :first, None], expected[:, :, :first, None])


def test_products_with_the_gradient_equal_autograd_without_forming_it(closed_form, any_textbook, images, targets):
    last, seen, gradients, _ = closed_form
    expected = (seen.tokens[:, None] * for_each(textbook_gradient, any_textbook, images, targets)).sum(-1)
    actual = last.gradient_products(seen, gradients)
    actual[..., 0] += last.query_products(seen, gradients)
    assert_agree(actual[..., None], expected[..., None])


def test_products_with_other_values_equal_autograd(closed_form, any_textbook, images, targets):
    last, seen, gradients, _ = closed_form
    values = torch.randn(seen.tokens.shape, generator=torch.Generator().manual_seed(3))
    expected = (values[:, None] * for_each(textbook_gradient, any_textbook, images, targets)).sum(-1)
    actual = last.gradient_products(seen, gradients, values)
    actual[..., 0] += last.query_products(seen, gradients, values[:, 0])
    assert_agree(actual[..., None], expected[..., None])


def test_mean_token_gradient_equals_the_mean_of_autograds(closed_form, any_textbook, images, targets):
    last, seen, gradients, _ = closed_form
    first = any_textbook.num_prefix_tokens
    expected = for_each(textbook_gradient, any_textbook, images, targets)[:, :, first:].mean(2)
    assert_agree(last.mean_token_gradient(seen, gradients, first)[..., None], expected[..., None])


def test_residual_gradients_equal_autograd_at_the_input_of_the_block(
    closed_form, any_backbone, any_textbook, images, targets
):
    def expected(model, image, target):
        with recorded(model.blocks[-2]) as outputs:
            logit = model(image[None].double())[0, target]
        return torch.autograd.grad(logit, outputs)[0][0]

    last, seen, gradients, residual = closed_form
    actual = last.residual_gradients(residual, seen, gradients)
    cls_stream = any_backbone.tokens_and_cls(images)[1]
    actual[:, :, 0] += last.stream_gradients(seen.outputs, cls_stream, targets)[:, :, -1]
    assert_agree(actual, for_each(expected, any_textbook, images, targets))


def test_cls_attention_and_its_gradient_equal_autograds(closed_form, any_textbook, images, targets):
    last, seen, gradients, _ = closed_form

    def cls_row(part):
        def expected(model, image, target):
            return attention_matrices(model, image, target)[-1][part][:, 0]

        return for_each(expected, any_textbook, images, targets)

    assert_agree(seen.attention, cls_row(0)[:, 0])
    assert_agree(last.attention_gradients(seen, gradients), cls_row(1))


def test_cdam_is_the_sum_of_its_key_and_value_parts_without_biases(any_backbone, any_textbook, images, targets):
    """S_i = ⟨k_i − b_k, ∂f/∂k_i⟩ + ⟨v_i − b_v, ∂f/∂v_i⟩, summed over heads."""
    qkv = any_textbook.blocks[-1].attn.qkv
    bias = torch.zeros(len(qkv.weight)).double() if qkv.bias is None else qkv.bias.detach()
    _, b_k, b_v = bias.reshape(3, any_textbook.blocks[-1].attn.num_heads, 1, -1).unbind(0)

    def expected(model, image, target):
        (_, k, v), (_, at_k, at_v) = qkv_and_gradients(model, image, target)
        return ((k - b_k) * at_k + (v - b_v) * at_v).sum((0, 2))[model.num_prefix_tokens :]

    actual = CDAM().token_scores(any_backbone, images, targets).flatten(2)
    assert_agree(actual[..., None], for_each(expected, any_textbook, images, targets)[..., None])


def test_key_and_value_gradients_of_a_token_are_proportional_to_its_attention(any_textbook, images):
    """∂f/∂v_i = A_i·g and ∂f/∂k_i = A_i·(⟨g, v_i⟩ − Σ_j A_j⟨g, v_j⟩)·q₀/√d per head, g the gradient at its output."""
    attn = any_textbook.blocks[-1].attn
    (q, _, v), (_, at_k, at_v) = qkv_and_gradients(any_textbook, images[0], 3)
    attention = attention_matrices(any_textbook, images[0], 3)[-1][0][:, 0, :, None]  # (H, T, 1)
    outputs = []  # of the heads, before the projection
    handle = attn.norm.register_forward_pre_hook(lambda _module, inputs: outputs.extend(inputs))
    logit = any_textbook(images[:1].double())[0, 3]
    handle.remove()
    g = torch.autograd.grad(logit, outputs)[0][0, 0].reshape(attn.num_heads, 1, attn.head_dim)
    through = (g * v).sum(-1, keepdim=True)
    factor = through - (attention * through).sum(1, keepdim=True)
    assert_agree(at_v, attention * g, 1e-10)
    assert_agree(at_k, attention * factor * q[:, :1] * attn.scale, 1e-10)


def test_the_key_bias_changes_neither_outputs_nor_maps(vit, images, targets):
    shifted = copy.deepcopy(vit)
    width = vit.embed_dim
    for block in shifted.blocks:
        block.attn.qkv.bias.data[width : 2 * width] += 1
    first, second = Backbone(copy.deepcopy(vit)), Backbone(shifted)
    assert_agree(second.logits(images), vit(images), 1e-5)
    assert_agree(CDAM().token_scores(second, images, targets), CDAM().token_scores(first, images, targets), 1e-5)
