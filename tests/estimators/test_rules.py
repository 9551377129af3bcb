"""Gradients at every block, plain and with rules, against autograd through the whole model; linear layers' γ rule; axioms."""

import copy

import pytest
import torch
from torch import nn

from cdam_bench.backbones import Backbone
from cdam_bench.errors import UserError
from cdam_bench.estimators.rules import (
    CONSERVATIVE,
    PLAIN,
    Rules,
    activate,
    backward_through_blocks,
    linear,
    pixel_gradients,
)
from tests.agreement import assert_agree
from tests.conftest import random_images, random_vit
from tests.reference.model import textbook_model
from tests.reference.rules import detached_factors, linear_rule, norm1_gradients_of_blocks

both_rules = pytest.mark.parametrize("rules", [PLAIN, CONSERVATIVE], ids=["plain", "conservative"])


@both_rules
def test_gradients_at_every_norm1_equal_autograd_through_the_model(any_backbone, any_textbook, images, targets, rules):
    found = list(backward_through_blocks(any_backbone, images, targets, rules))[::-1]
    assert [block.index for block in found] == list(range(len(any_textbook.blocks)))
    for b, image in enumerate(images):
        for k, target in enumerate(targets[b]):
            expected = norm1_gradients_of_blocks(any_textbook, image, target, rules is CONSERVATIVE)
            for block, (tokens, gradient) in zip(found, expected, strict=True):
                assert_agree(block.tokens[b], tokens)
                assert_agree(block.at_tokens[b, k], gradient)


@both_rules
def test_gradients_at_the_pixels_equal_autograd_through_the_model(any_backbone, any_textbook, images, targets, rules):
    *_, first = backward_through_blocks(any_backbone, images, targets, rules)
    actual = pixel_gradients(any_backbone, images, first.at_inputs, rules)
    for b, image in enumerate(images):
        leaf = image[None].double().requires_grad_()
        if rules is CONSERVATIVE:
            with detached_factors(any_textbook):
                logits = any_textbook(leaf)[0]
        else:
            logits = any_textbook(leaf)[0]
        for k, target in enumerate(targets[b]):
            (gradient,) = torch.autograd.grad(logits[target], leaf, retain_graph=True)
            assert_agree(actual[b, k], gradient[0])


@both_rules
def test_a_convolutional_stem_follows_the_rules(rules):
    from cdam_bench.backbones.conv_stem import ConvStem

    vit = random_vit(img_size=16, patch_size=4, embed_layer=ConvStem)
    images, targets = random_images(1, size=(16, 16)), torch.tensor([[2]])
    *_, first = backward_through_blocks(Backbone(copy.deepcopy(vit)), images, targets, rules)
    actual = pixel_gradients(Backbone(copy.deepcopy(vit)), images, first.at_inputs, rules)
    model, leaf = textbook_model(vit), images.double().requires_grad_()
    if rules is CONSERVATIVE:
        with detached_factors(model):
            logit = model(leaf)[0, 2]
    else:
        logit = model(leaf)[0, 2]
    assert_agree(actual[0, 0], torch.autograd.grad(logit, leaf)[0][0])


def test_the_conservative_gradient_and_the_biases_make_up_the_logit(vit, images):
    """f = Σ x ⊙ g + Σ b ⊙ g_b over every bias, norm bias, position and prefix token, at the pixels."""
    model = textbook_model(vit)
    constants = [
        parameter
        for name, parameter in model.named_parameters()
        if name.endswith(("bias", "pos_embed", "cls_token", "reg_token"))
    ]
    leaf = images[:1].double().requires_grad_()
    with detached_factors(model):
        logit = model(leaf)[0, 3]
    by_constants = torch.autograd.grad(logit, constants, retain_graph=True)
    backbone = Backbone(copy.deepcopy(vit)).double()
    *_, first = backward_through_blocks(backbone, images[:1].double(), torch.tensor([[3]]), CONSERVATIVE)
    pixels = pixel_gradients(backbone, images[:1].double(), first.at_inputs, CONSERVATIVE)[0, 0]
    total = (pixels * images[0]).sum() + sum((c * g).sum() for c, g in zip(constants, by_constants, strict=True))
    torch.testing.assert_close(total, logit.detach(), rtol=1e-9, atol=0)


def test_a_blocks_scores_sum_to_what_its_attention_adds_without_value_biases(images):
    """Σ_i T_i · g_i = Σ_i ⟨attention's addition to the stream, gradient there⟩ for a block without biases in its attention."""
    vit = random_vit(seed=4, qkv_bias=False)
    for block in vit.blocks:
        block.attn.proj.bias.data.zero_()
    model = textbook_model(vit)
    found = list(
        backward_through_blocks(
            Backbone(copy.deepcopy(vit)).double(), images.double(), torch.ones(2, 1).long(), CONSERVATIVE
        )
    )[::-1]
    added = []
    hooks = [b.ls1.register_forward_hook(lambda _m, _i, output: added.append(output)) for b in model.blocks]
    with detached_factors(model):
        logits = model(images.double().requires_grad_())[:, 1].sum()
    gradients = torch.autograd.grad(logits, added)
    for hook in hooks:
        hook.remove()
    for block, value, gradient in zip(found, added, gradients, strict=True):
        scores = (block.tokens * block.at_tokens[:, 0]).sum((1, 2))
        torch.testing.assert_close(scores, (value * gradient).sum((1, 2)).detach(), rtol=1e-9, atol=1e-12)


def test_the_gamma_rule_equals_its_definition():
    generator = torch.Generator().manual_seed(3)
    layer, x = nn.Linear(9, 5).double(), torch.randn(4, 9, generator=generator, dtype=torch.double).requires_grad_()
    upstream = torch.randn(4, 5, generator=generator, dtype=torch.double)
    y = linear(layer, x, 0.3)
    torch.testing.assert_close(y, layer(x))
    (gradient,) = torch.autograd.grad(y, x, upstream)
    expected = linear_rule(layer.weight, layer.bias, x, upstream * y, 0.3)
    torch.testing.assert_close(x * gradient, expected)


@pytest.mark.parametrize(
    "make", [lambda: nn.Linear(9, 5), lambda: nn.Conv2d(3, 5, 2, stride=2)], ids=["linear", "conv"]
)
def test_the_gamma_rule_equals_zennits(make):
    rules = pytest.importorskip("zennit.rules")
    torch.manual_seed(0)
    layer = make().double()
    x = torch.randn((4, 9) if isinstance(layer, nn.Linear) else (2, 3, 4, 4), dtype=torch.double).requires_grad_()
    y = linear(layer, x, 0.3)
    relevance = torch.randn_like(y)
    (gradient,) = torch.autograd.grad(y, x, relevance / y.detach())
    handle = rules.Gamma(0.3, stabilizer=1e-12).register(layer)
    (expected,) = torch.autograd.grad(layer(x), x, relevance)
    handle.remove()
    torch.testing.assert_close(x * gradient, expected, rtol=1e-6, atol=1e-9)


def test_the_gate_of_gelu_is_the_normal_distribution_function_also_at_zero():
    x = torch.tensor([-2.0, 0.0, 1.5], dtype=torch.double).requires_grad_()
    (gradient,) = torch.autograd.grad(activate(nn.GELU(), x, CONSERVATIVE).sum(), x)
    torch.testing.assert_close(gradient, torch.special.ndtr(x.detach()), rtol=1e-5, atol=0)


def test_stopping_early_does_not_run_the_blocks_below(backbone, images, targets, monkeypatch):
    import cdam_bench.estimators.rules as module

    ran = []
    through_block = module.through_block
    monkeypatch.setattr(
        module, "through_block", lambda block, *rest, **k: ran.append(block) or through_block(block, *rest, **k)
    )
    next(iter(backward_through_blocks(backbone, images, targets, PLAIN)))
    assert ran == [backbone.vit.blocks[-1]]


def test_gradients_are_off_and_on_outside_as_they_were(backbone, images, targets):
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            for block in backward_through_blocks(backbone, images, targets, CONSERVATIVE):
                assert torch.is_grad_enabled() is enabled
                assert not block.at_tokens.requires_grad
                assert not block.at_inputs.requires_grad


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"attention": "half"}, "attention=half is unknown.*did you mean halve"),
        ({"norm": "gate"}, "norm=gate is unknown.*detach, plain"),
        ({"gamma": -0.5}, "gamma=-0.5: must not be negative"),
    ],
)
def test_unknown_rules_are_refused(options, reason):
    with pytest.raises(UserError, match=reason):
        Rules(**options)
