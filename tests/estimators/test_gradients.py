"""Input × Grad, IntGrad and SmoothGrad against captum called in the plain way and against loops of autograd."""

import copy

import captum.attr
import pytest
import torch

from cdam_bench.errors import UserError
from cdam_bench.estimators import InputXGradient, IntegratedGradients, SmoothGrad
from tests.agreement import assert_agree
from tests.reference.gradients import input_x_gradient, integrated_gradients, smoothgrad
from tests.reference.model import for_each


def noise_like_captums(image, seed, num_samples, noise_level):
    """Noise (n, 3, H, W) that captum's NoiseTunnel draws after manual_seed(seed)."""
    generator = torch.Generator().manual_seed(int(seed))
    draws = torch.randn(num_samples, *image.shape, generator=generator)
    return draws.double() * noise_level * (image.max() - image.min()).double()


def test_input_x_gradient_equals_captum(any_vit, any_backbone, images, targets):
    expected = captum.attr.InputXGradient(any_vit).attribute(images.clone().requires_grad_(), target=targets[:, 0])
    assert_agree(InputXGradient().attribute(any_backbone, images, targets)[:, 0], expected.sum(1), 1e-5)


def test_input_x_gradient_equals_autograd(any_backbone, any_textbook, images, targets):
    expected = for_each(input_x_gradient, any_textbook, images, targets)
    assert_agree(InputXGradient().attribute(any_backbone, images, targets), expected)


def test_integrated_gradients_equals_captum(any_vit, any_backbone, images, targets):
    expected = captum.attr.IntegratedGradients(any_vit).attribute(
        images, baselines=torch.zeros_like(images), target=targets[:, 1], n_steps=20
    )
    actual = IntegratedGradients(num_steps=20).attribute(any_backbone, images, targets)[:, 1]
    assert_agree(actual, expected.sum(1), 1e-5)


@pytest.mark.parametrize("baseline", [0.0, -0.7])
def test_integrated_gradients_equals_a_loop_of_autograd(any_backbone, any_textbook, images, targets, baseline):
    def expected(model, image, target):
        return integrated_gradients(model, image, target, 8, baseline)

    estimator = IntegratedGradients(num_steps=8, baseline=baseline, internal_batch_size=4)
    actual = estimator.attribute(any_backbone, images, targets)
    assert_agree(actual, for_each(expected, any_textbook, images, targets))


def test_integrated_gradients_sum_to_the_difference_of_outputs(backbone, textbook, images, targets):
    black = torch.zeros_like(images)
    difference = textbook(images.double()) - textbook(black.double())
    maps = IntegratedGradients(num_steps=100).attribute(backbone, images, targets)
    torch.testing.assert_close(maps.sum((-2, -1)).double(), difference.gather(1, targets), rtol=0.01, atol=0.01)


def test_smoothgrad_equals_captum(any_vit, any_backbone, images, targets, seeds):
    tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(any_vit))
    expected = []
    for image, target, seed in zip(images, targets[:, 0], seeds, strict=True):
        torch.manual_seed(int(seed))
        sigma = 0.15 * float(image.max() - image.min())
        maps = tunnel.attribute(image[None], nt_samples=8, stdevs=sigma, target=int(target), abs=False)
        expected.append(maps[0].sum(0))
    actual = SmoothGrad(num_samples=8, noise_level=0.15).attribute(any_backbone, images, targets, seeds)[:, 0]
    assert_agree(actual, torch.stack(expected), 1e-5)


def test_smoothgrad_equals_a_loop_of_autograd(any_backbone, any_textbook, images, targets, seeds):
    noise = [noise_like_captums(image, seed, 8, 0.1) for image, seed in zip(images, seeds, strict=True)]
    estimator = SmoothGrad(num_samples=8, noise_level=0.1)
    actual = estimator.attribute(any_backbone, images, targets, seeds)
    assert_agree(actual, for_each(smoothgrad, any_textbook, images, targets, noise))


def test_smoothgrad_is_the_same_for_every_internal_batch_size(backbone, images, targets, seeds):
    whole, parts = (
        SmoothGrad(num_samples=10, internal_batch_size=size).attribute(backbone, images, targets, seeds)
        for size in (64, 3)
    )
    assert_agree(parts, whole, 1e-5)


def test_integrated_gradients_are_the_same_for_every_internal_batch_size(backbone, images, targets):
    whole, parts = (
        IntegratedGradients(num_steps=10, internal_batch_size=size).attribute(backbone, images, targets)
        for size in (64, 3)
    )
    assert_agree(parts, whole, 1e-5)


METHODS = [InputXGradient(), IntegratedGradients(num_steps=6), SmoothGrad(num_samples=6)]
by_name = pytest.mark.parametrize("estimator", METHODS, ids=lambda estimator: type(estimator).__name__)


@by_name
def test_three_targets_cost_no_more_forward_passes_than_one(estimator, backbone, images, seeds):
    rows = []
    handle = backbone.vit.patch_embed.register_forward_hook(
        lambda _module, inputs, _output: rows.append(len(inputs[0]))
    )
    with handle:
        estimator.attribute(backbone, images, torch.tensor([[0, 3, 5], [1, 2, 6]]), seeds)
        together = sum(rows)
        estimator.attribute(backbone, images, torch.tensor([[0], [1]]), seeds)
    assert together == sum(rows) - together == len(images) * len(estimator.weights())


@by_name
def test_batches_are_halved_for_good_when_memory_runs_out(estimator, backbone, images, targets, seeds):
    expected = estimator.attribute(backbone, images, targets, seeds)
    smaller, rows = copy.deepcopy(estimator), []

    def limited(_module, inputs):
        rows.append(len(inputs[0]))
        if rows[-1] > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with backbone.vit.patch_embed.register_forward_pre_hook(limited):
        assert_agree(smaller.attribute(backbone, images, targets, seeds), expected, 1e-5)
    passes = len(images) * len(estimator.weights())
    assert rows[-passes:] == [1] * passes
    assert max(rows) == passes
    assert smaller.micro_batch.value == 1


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: IntegratedGradients(num_steps=0), "num_steps=0"),
        (lambda: IntegratedGradients(internal_batch_size=-1), "internal_batch_size=-1"),
        (lambda: SmoothGrad(num_samples=-5), "num_samples=-5"),
        (lambda: SmoothGrad(noise_level=-1), "noise_level=-1"),
    ],
    ids=["steps", "batch", "samples", "noise"],
)
def test_numbers_that_cannot_be_are_refused(make, key):
    with pytest.raises(UserError, match=key):
        make()
