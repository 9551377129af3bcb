"""CDAM, Smooth CDAM and Integrated CDAM against hooks on the whole model, and their axioms."""

import pytest
import torch

from cdam_bench.errors import UserError
from cdam_bench.estimators import CDAM, IntegratedCDAM, SmoothCDAM
from tests.agreement import assert_agree
from tests.reference.cdam import cdam, integrated_cdam, smooth_cdam, token_noise
from tests.reference.model import for_each, logit_at, norm1_tokens


def in_grid(model, scores):
    """Scores (B, K, P + N) → those of the patches (B, K, h, w)."""
    return scores[..., model.num_prefix_tokens :].unflatten(-1, model.patch_embed.grid_size)


def test_cdam_equals_tokens_times_autograd_gradient(any_backbone, any_textbook, images, targets):
    expected = in_grid(any_textbook, for_each(cdam, any_textbook, images, targets))
    assert_agree(CDAM().token_scores(any_backbone, images, targets), expected)


@pytest.mark.parametrize("multiply", ["noisy", "clean"])
def test_smooth_cdam_equals_the_mean_over_noisy_passes(any_backbone, any_textbook, images, targets, seeds, multiply):
    noise = [token_noise(any_textbook, image, seed, 6, 0.1) for image, seed in zip(images, seeds, strict=True)]

    def expected(model, image, target, noise):
        return smooth_cdam(model, image, target, noise, multiply)

    estimator = SmoothCDAM(num_samples=6, noise_level=0.1, multiply=multiply)
    actual = estimator.token_scores(any_backbone, images, targets, seeds)
    assert_agree(actual, in_grid(any_textbook, for_each(expected, any_textbook, images, targets, noise)))


def test_the_two_readings_of_smooth_cdam_differ(backbone, images, targets):
    noisy, clean = (
        SmoothCDAM(6, 0.1, reading).token_scores(backbone, images, targets) for reading in ("noisy", "clean")
    )
    assert (noisy - clean).abs().max() > 0.01 * noisy.abs().max()


def test_smooth_cdam_without_noise_is_cdam(backbone, images, targets):
    smooth = SmoothCDAM(3, noise_level=0).token_scores(backbone, images, targets)
    assert_agree(smooth, CDAM().token_scores(backbone, images, targets), 1e-5)


def test_smooth_cdam_without_seeds_uses_seed_zero(backbone, images, targets):
    estimator = SmoothCDAM(3)
    zeros = torch.zeros(len(images), dtype=torch.long)
    without = estimator.token_scores(backbone, images, targets)
    assert torch.equal(without, estimator.token_scores(backbone, images, targets, zeros))
    assert not torch.equal(without, estimator.token_scores(backbone, images, targets, zeros + 1))


def test_integrated_cdam_equals_simpsons_rule_with_autograd(any_backbone, any_textbook, images, targets):
    expected = for_each(integrated_cdam, any_textbook, images, targets)
    actual = IntegratedCDAM().all_token_scores(any_backbone, images, targets)
    assert_agree(actual[..., None], expected[..., None])
    assert_agree(IntegratedCDAM().token_scores(any_backbone, images, targets), in_grid(any_textbook, expected))


def test_integrated_cdam_sums_to_the_difference_of_outputs(any_backbone, any_textbook, images, targets):
    def difference(model, image, target):
        tokens = norm1_tokens(model, image)
        return logit_at(model, image, target, tokens) - logit_at(model, image, target, torch.zeros_like(tokens))

    expected = for_each(difference, any_textbook, images, targets)
    actual = IntegratedCDAM().all_token_scores(any_backbone, images, targets).sum(-1)
    torch.testing.assert_close(actual.double(), expected, rtol=0.01, atol=0)


def test_integrated_cdam_with_few_steps_is_a_coarser_sum_of_the_same_integral(backbone, textbook, images, targets):
    exact = for_each(integrated_cdam, textbook, images, targets)
    errors = [
        (IntegratedCDAM(steps).all_token_scores(backbone, images, targets) - exact).abs().max() for steps in (1, 4, 16)
    ]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("value", [0, -3, 2.5])
@pytest.mark.parametrize(
    ("estimator", "name"), [(SmoothCDAM, "num_samples"), (IntegratedCDAM, "num_steps")], ids=["smooth", "integrated"]
)
def test_numbers_of_samples_and_steps_must_be_positive_and_whole(estimator, name, value):
    with pytest.raises(UserError, match=f"^{name}={value}"):
        estimator(**{name: value})


def test_a_negative_noise_level_is_refused():
    with pytest.raises(UserError, match=r"noise_level=-0\.1"):
        SmoothCDAM(noise_level=-0.1)


def test_an_unknown_reading_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match="noisy or clean"):
        SmoothCDAM(multiply="both")
