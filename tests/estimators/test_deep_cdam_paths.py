"""Smooth and Integrated Deep CDAM against hooks on every norm1, against the CDAM family at the last block, and axioms."""

import copy

import pytest
import torch

from cdam_bench.backbones import Backbone
from cdam_bench.errors import UserError
from cdam_bench.estimators import DeepCDAM, IntegratedCDAM, IntegratedDeepCDAM, SmoothCDAM, SmoothDeepCDAM
from tests.agreement import assert_agree
from tests.conftest import random_images, random_vit
from tests.reference.deep_cdam import block_noise, integrated_deep_cdam, logit_reading, smooth_deep_cdam
from tests.reference.model import for_each, patches_only, textbook_model

both_gradients = pytest.mark.parametrize("gradient", ["plain", "conservative"])


@both_gradients
@pytest.mark.parametrize("multiply", ["noisy", "clean"])
@pytest.mark.parametrize(("blocks", "indices"), [("all", (0, 1, 2)), ([0, 2], (0, 2))])
def test_smooth_deep_cdam_equals_its_definition(
    backbone, textbook, images, targets, seeds, gradient, multiply, blocks, indices
):
    noise = [block_noise(textbook, image, seed, indices, 3, 0.1) for image, seed in zip(images, seeds, strict=True)]

    def expected(model, image, target, noise):
        return patches_only(model, smooth_deep_cdam(model, image, target, noise, gradient == "conservative", multiply))

    actual = SmoothDeepCDAM(blocks, gradient, 3, 0.1, multiply).token_scores(backbone, images, targets, seeds)
    assert_agree(actual, for_each(expected, textbook, images, targets, noise).unflatten(-1, (4, 6)))


@pytest.mark.parametrize("multiply", ["noisy", "clean"])
def test_smooth_deep_cdam_of_the_last_block_with_plain_gradients_is_smooth_cdam(
    backbone, images, targets, seeds, multiply
):
    actual = SmoothDeepCDAM(1, "plain", 5, 0.1, multiply).token_scores(backbone, images, targets, seeds)
    expected = SmoothCDAM(5, 0.1, multiply).token_scores(backbone, images, targets, seeds)
    assert_agree(actual, expected, 1e-5)


@both_gradients
def test_smooth_deep_cdam_without_noise_is_deep_cdam(backbone, images, targets, gradient):
    actual = SmoothDeepCDAM("all", gradient, 2, 0).token_scores(backbone, images, targets)
    assert_agree(actual, DeepCDAM("all", gradient).token_scores(backbone, images, targets), 1e-5)


@pytest.mark.parametrize(("blocks", "indices"), [("all", (0, 1, 2)), ([0, 2], (0, 2))])
def test_integrated_deep_cdam_equals_its_definition_by_simpsons_rule(
    backbone, textbook, images, targets, blocks, indices
):
    def expected(model, image, target):
        return patches_only(model, integrated_deep_cdam(model, image, target, indices))

    actual = IntegratedDeepCDAM(blocks, 24).token_scores(backbone, images[:1], targets[:1])
    assert_agree(actual, for_each(expected, textbook, images[:1], targets[:1]).unflatten(-1, (4, 6)), 1e-3)


def test_integrated_deep_cdam_of_the_last_block_is_integrated_cdam(backbone, images, targets):
    actual = IntegratedDeepCDAM("last=1", 12).token_scores(backbone, images, targets)
    assert_agree(actual, IntegratedCDAM(12).token_scores(backbone, images, targets), 1e-5)


@pytest.mark.parametrize(("blocks", "indices"), [("all", (0, 1, 2)), ("half", (1, 2)), ([0], (0,))])
def test_integrated_deep_cdam_sums_to_the_output_less_that_of_attentions_that_read_zeros(
    vit, textbook, images, targets, blocks, indices
):
    backbone = Backbone(copy.deepcopy(vit)).double()
    scores = IntegratedDeepCDAM(blocks, 60).all_token_scores(backbone, images.double(), targets)
    for b, image in enumerate(images):
        for k, target in enumerate(targets[b]):
            without = logit_reading(textbook, image, target, dict.fromkeys(indices, torch.zeros_like))
            expected = logit_reading(textbook, image, target, {}) - without
            torch.testing.assert_close(scores[b, k].sum(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("estimator", [SmoothDeepCDAM(num_samples=3), IntegratedDeepCDAM(num_steps=4)])
@pytest.mark.parametrize("layout", [{"blocks_read": 2}, {"reg_tokens": 4, "scale_attn_norm": True}], ids=str)
def test_the_variants_do_not_depend_on_the_batch_or_on_other_targets(estimator, layout):
    backbone = Backbone(random_vit(seed=7, **layout))
    images, targets, seeds = random_images(3, seed=3), torch.tensor([[0, 1], [2, 3], [4, 5]]), torch.tensor([5, 6, 7])
    together = estimator.attribute(backbone, images, targets, seeds)
    alone = [estimator.attribute(backbone, images[b : b + 1], targets[b : b + 1], seeds[b : b + 1]) for b in range(3)]
    apart = [estimator.attribute(backbone, images, targets[:, k], seeds) for k in range(2)]
    assert_agree(torch.cat(alone), together, 1e-5)
    assert_agree(torch.stack(apart, 1), together, 1e-5)


def test_a_head_of_several_blocks_reads_what_changed_attentions_gave():
    vit = random_vit(seed=9, blocks_read=2)
    model, images, target = textbook_model(vit), random_images(1), torch.tensor([[1]])
    scores = IntegratedDeepCDAM("all", 40).all_token_scores(Backbone(copy.deepcopy(vit)), images, target)
    zeros = logit_reading(model, images[0], 1, dict.fromkeys(range(3), torch.zeros_like))
    assert scores.sum().item() == pytest.approx((logit_reading(model, images[0], 1, {}) - zeros).item(), rel=1e-3)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: SmoothDeepCDAM(num_samples=0), "num_samples=0: must be a positive whole number"),
        (lambda: SmoothDeepCDAM(noise_level=-1), "noise_level=-1: must"),
        (lambda: SmoothDeepCDAM(multiply="both"), "multiply=both is unknown: use noisy or clean"),
        (lambda: SmoothDeepCDAM(gradient="libra"), "gradient=libra is unknown"),
        (lambda: IntegratedDeepCDAM(num_steps=0), "num_steps=0: must be a positive whole number"),
        (lambda: IntegratedDeepCDAM(blocks="first"), "blocks=first is unknown"),
    ],
)
def test_unknown_settings_are_refused(make, reason):
    with pytest.raises(UserError, match=reason):
        make()
