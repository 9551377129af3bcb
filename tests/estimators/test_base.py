"""What all estimators promise: shapes, targets, seeds, batches, and errors."""

import pytest
import torch

from cdam_bench import estimators
from cdam_bench.errors import UserError
from tests.agreement import assert_agree
from tests.conftest import IMAGE_SIZE, PATCH_SIZE, random_images

TOKEN_LEVEL = [
    estimators.CDAM(),
    estimators.SmoothCDAM(num_samples=5, noise_level=0.1),
    estimators.IntegratedCDAM(num_steps=8),
    estimators.AttentionMap(),
    estimators.RelevancePropagation(),
    estimators.PartialLRP(),
    estimators.GradCAM(),
    estimators.RandomMap(),
    estimators.AttentionRollout(),
    estimators.LeGrad(),
    estimators.LeGradMean(),
    estimators.GradECLIP(),
    estimators.AGCAM(),
    estimators.TokenAblation(),
    estimators.PatchAblation(),
    estimators.KernelSHAP(num_passes=30),
]
PIXEL_LEVEL = [
    estimators.InputXGradient(),
    estimators.IntegratedGradients(num_steps=6),
    estimators.SmoothGrad(num_samples=5, noise_level=0.1),
    estimators.Occlusion(num_passes=40),
    estimators.RISE(num_passes=20, cells=4),
]


def name_of(estimator):
    return type(estimator).__name__


all_estimators = pytest.mark.parametrize("estimator", TOKEN_LEVEL + PIXEL_LEVEL, ids=name_of)
token_estimators = pytest.mark.parametrize("estimator", TOKEN_LEVEL, ids=name_of)


@pytest.fixture(scope="module")
def five():
    """Five images with a target and a seed each. The targets' GradCAM maps are not all zero."""
    return random_images(5, seed=1), torch.tensor([0, 1, 2, 3, 4]), torch.tensor([5, 3, 9, 0, 7])


@all_estimators
def test_two_targets_in_one_call_equal_two_calls(estimator, backbone, images, targets, seeds):
    together = estimator.attribute(backbone, images, targets, seeds)
    apart = [estimator.attribute(backbone, images, targets[:, k], seeds) for k in range(2)]
    assert together.shape == (2, 2, *IMAGE_SIZE)
    assert apart[0].shape == (2, *IMAGE_SIZE)
    assert_agree(together, torch.stack(apart, 1), 1e-5)


@all_estimators
def test_maps_do_not_depend_on_the_batch_an_image_is_in(estimator, backbone, five):
    images, targets, seeds = five
    together = estimator.attribute(backbone, images, targets, seeds)
    backwards = estimator.attribute(backbone, images.flip(0), targets.flip(0), seeds.flip(0)).flip(0)
    alone = torch.cat(
        [
            estimator.attribute(backbone, image[None], target[None], seed[None])
            for image, target, seed in zip(*five, strict=True)
        ]
    )
    assert_agree(alone, together, 1e-5)
    assert_agree(backwards, together, 1e-5)


@token_estimators
def test_every_pixel_of_a_patch_has_its_tokens_score(estimator, backbone, images, targets):
    scores = estimator.token_scores(backbone, images, targets)
    assert scores.shape == (2, 2, 4, 6)
    expected = torch.nn.functional.interpolate(scores, scale_factor=PATCH_SIZE, mode="nearest")
    assert torch.equal(estimator.attribute(backbone, images, targets), expected)


@all_estimators
def test_maps_are_detached_single_precision_and_not_constant(estimator, backbone, images, targets):
    maps = estimator.attribute(backbone, images, targets)
    assert maps.dtype == torch.float32
    assert not maps.requires_grad
    assert (maps.flatten(2).std(-1) > 0).all()


@all_estimators
def test_inputs_and_the_global_random_state_stay_as_they_were(estimator, backbone, images, targets):
    mine, before = images.clone(), torch.get_rng_state()
    estimator.attribute(backbone, mine, targets)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(mine, images)
    assert mine.grad is None
    assert not mine.requires_grad


@all_estimators
def test_maps_are_the_same_when_gradients_are_off_outside(estimator, backbone, images, targets):
    with torch.no_grad():
        inside = estimator.attribute(backbone, images, targets)
    assert torch.equal(inside, estimator.attribute(backbone, images, targets))


NOISY = (estimators.SmoothCDAM, estimators.SmoothGrad, estimators.RandomMap, estimators.KernelSHAP, estimators.RISE)


@pytest.mark.parametrize("estimator", [e for e in TOKEN_LEVEL + PIXEL_LEVEL if isinstance(e, NOISY)], ids=name_of)
def test_noise_depends_on_the_seed(estimator, backbone, images, targets):
    one, same, other = (
        estimator.attribute(backbone, images, targets, torch.tensor(seeds)) for seeds in ([1, 2], [1, 2], [1, 3])
    )
    assert torch.equal(one, same)
    assert torch.equal(one[0], other[0])
    assert not torch.equal(one[1], other[1])


@all_estimators
def test_targets_may_be_of_any_whole_number_type(estimator, backbone, images, targets):
    expected = estimator.attribute(backbone, images, targets)
    assert torch.equal(estimator.attribute(backbone, images, targets.to(torch.int32)), expected)


@all_estimators
@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        (torch.tensor([0]), "targets of shape"),
        (torch.tensor([0, 1, 2]), "targets of shape"),
        (torch.tensor(0), "targets of shape"),
        (torch.zeros(2, 1, 1, dtype=torch.long), "targets of shape"),
        (torch.tensor([0.0, 1.0]), "whole numbers"),
        (torch.tensor([0, 7]), "0…6"),
        (torch.tensor([-1, 0]), "0…6"),
    ],
    ids=["short", "long", "scalar", "3d", "float", "too large", "negative"],
)
def test_wrong_targets_are_refused(estimator, backbone, images, targets, reason):
    with pytest.raises(UserError, match=reason):
        estimator.attribute(backbone, images, targets)


@all_estimators
@pytest.mark.parametrize("shape", [(2, 3, 32, 40), (2, 3, 33, 48), (2, 1, 32, 48), (2, 32, 48)])
def test_wrong_images_are_refused(estimator, backbone, targets, shape):
    with pytest.raises(UserError, match="image"):
        estimator.attribute(backbone, torch.zeros(shape), targets)


@all_estimators
@pytest.mark.parametrize("seeds", [torch.tensor([1]), torch.zeros(2, 2, dtype=torch.long)], ids=["short", "2d"])
def test_wrong_seeds_are_refused(estimator, backbone, images, targets, seeds):
    with pytest.raises(UserError, match="one per image"):
        estimator.attribute(backbone, images, targets, seeds)
