"""What Deep CDAM is a sum of (docs/closed_form.md), in double precision: derivatives of factors, paths, and what is conserved."""

import copy

import numpy as np
import pytest
import torch

from cdam_bench.backbones import Backbone
from cdam_bench.estimators.rules import CONSERVATIVE, PLAIN, backward_through_blocks
from tests.reference.deep_cdam import frozen_factors, logit_reading
from tests.reference.model import recorded, recorded_io
from tests.reference.rules import detached_factors

TARGET = 3
BLOCKS = range(3)


@pytest.fixture(scope="module")
def image(images):
    return images[0]


def block_gradients(vit, image, rules):
    """Of every block, first to last."""
    backbone = Backbone(copy.deepcopy(vit)).double()
    return list(backward_through_blocks(backbone, image[None].double(), torch.tensor([[TARGET]]), rules))[::-1]


def token_scores(blocks):
    """Σ_b Σ_j T^b_ij · g^b_ij of all tokens, prefix tokens included: (T,)."""
    return sum((block.tokens[0] * block.at_tokens[0, 0]).sum(-1) for block in blocks)


def logit_with_factors(model, image, factors, blocks=BLOCKS):
    """f_c when the attentions of `blocks` read factors (T, 1), or a number, times their tokens."""
    return logit_reading(model, image, TARGET, dict.fromkeys(blocks, lambda tokens: factors * tokens))


def slope_at_one(model, image, token, step=1e-4):
    """Derivative of f_c with respect to the factor on one token, by central differences."""
    moved = torch.zeros(1, 1, 1, dtype=torch.double).expand(1, 29, 1).clone()
    moved[0, token] = step
    return (logit_with_factors(model, image, 1 + moved) - logit_with_factors(model, image, 1 - moved)) / (2 * step)


@pytest.mark.parametrize("token", [0, 2, 5, 28])
def test_a_plain_score_is_the_derivative_with_respect_to_a_factor_on_what_all_blocks_read_of_the_token(
    vit, textbook, image, token
):
    scores = token_scores(block_gradients(vit, image, PLAIN))
    torch.testing.assert_close(scores[token], slope_at_one(textbook, image, token), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("token", [0, 2, 5, 28])
def test_a_conservative_score_is_that_derivative_in_the_network_with_frozen_factors(vit, textbook, image, token):
    scores = token_scores(block_gradients(vit, image, CONSERVATIVE))
    with frozen_factors(textbook, image):
        torch.testing.assert_close(scores[token], slope_at_one(textbook, image, token), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("blocks", [(0, 1, 2), (1, 2), (2,)])
def test_conservative_scores_count_every_path_once_for_each_attention_it_passes(vit, textbook, image, blocks):
    """With frozen factors f is a polynomial Σ_k c_k α^k in the factor on what `blocks` read: c_k is what k attentions pass on."""
    points = np.arange(len(blocks) + 1.0)
    with frozen_factors(textbook, image):
        values = [float(logit_with_factors(textbook, image, point, blocks)) for point in points]
    parts = np.linalg.solve(np.vander(points, increasing=True), values)
    assert parts.sum() == pytest.approx(float(logit_reading(textbook, image, TARGET, {})), rel=1e-9)
    found = block_gradients(vit, image, CONSERVATIVE)
    scores = token_scores([found[b] for b in blocks]).sum()
    assert float(scores) == pytest.approx(sum(k * part for k, part in enumerate(parts)), rel=1e-8)


def conserved(model, image):
    """By autograd with detached factors: f_c; the stream x^b into every block and its gradient; the gradient at what every block's
    attention adds; biases times their gradients, by name."""
    biases = {name: parameter.requires_grad_() for name, parameter in model.named_parameters() if name.endswith("bias")}
    with recorded_io(model) as seen, detached_factors(model):
        model(image[None].double())
    streams = [seen[f"blocks.{b}"][0][0] for b in BLOCKS]
    attentions, entering = [block.ls1 for block in model.blocks], [model.norm_pre, *model.blocks[:-1]]
    with detached_factors(model), recorded(*entering) as entered, recorded(*attentions) as added:
        logit = model(image[None].double().requires_grad_())[0, TARGET]
    by_point = torch.autograd.grad(logit, [*entered, *added], retain_graph=True)
    by_bias = torch.autograd.grad(logit, list(biases.values()))
    for parameter in biases.values():
        parameter.requires_grad_(False)
    parts = {name: float((p * g).sum()) for (name, p), g in zip(biases.items(), by_bias, strict=True)}
    at_streams, at_added = by_point[: len(BLOCKS)], by_point[len(BLOCKS) :]
    return float(logit.detach()), streams, [g[0] for g in at_streams], [g[0] for g in at_added], parts


def inner(a, b):
    return float((a * b).sum())


def test_stream_times_conservative_gradient_and_the_biases_above_are_the_output_at_every_depth(vit, textbook, image):
    logit, streams, at_streams, _, parts = conserved(copy.deepcopy(textbook), image)
    for b, found in zip(BLOCKS, block_gradients(vit, image, CONSERVATIVE), strict=True):
        above = [part for name, part in parts.items() if not name.startswith(("patch_embed", *below(b)))]
        torch.testing.assert_close(found.at_inputs[0, 0], at_streams[b])
        assert inner(streams[b], found.at_inputs[0, 0]) + sum(above) == pytest.approx(logit, rel=1e-9)


def below(b):
    return tuple(f"blocks.{earlier}." for earlier in range(b))


def test_what_a_block_conserves_is_what_goes_around_its_attention_and_its_scores_less_norm1s_bias(vit, textbook, image):
    _, streams, at_streams, at_added, parts = conserved(copy.deepcopy(textbook), image)
    for b, found in zip(BLOCKS, block_gradients(vit, image, CONSERVATIVE), strict=True):
        around, scores = inner(streams[b], at_added[b]), float(token_scores([found]).sum())
        through = scores - parts[f"blocks.{b}.norm1.bias"]
        assert inner(streams[b], at_streams[b]) == pytest.approx(around + through, rel=1e-9)


def test_a_blocks_conservative_scores_are_what_its_attention_adds_less_its_biases(vit, textbook, image):
    model = copy.deepcopy(textbook)
    with torch.no_grad(), recorded(*(block.ls1 for block in model.blocks)) as added:
        model(image[None].double())
    *_, at_added, _ = conserved(model, image)
    for block, out, gradient, found in zip(
        model.blocks, added, at_added, block_gradients(vit, image, CONSERVATIVE), strict=True
    ):
        value_bias = block.attn.qkv.bias.detach().chunk(3)[2]
        with torch.no_grad():
            constant = block.ls1(block.attn.proj(value_bias))
        expected = inner(out[0].detach() - constant, gradient)
        assert float(token_scores([found]).sum()) == pytest.approx(expected, rel=1e-9)
