"""The contrast target y_c − γ · mean of y_d, by methods that know nothing of it."""

import pytest
import torch
from torch import nn

from cdam_bench import estimators
from cdam_bench.backbones import Backbone
from cdam_bench.backbones.contrast import Contrast
from cdam_bench.errors import UserError
from tests.agreement import assert_agree
from tests.conftest import random_vit
from tests.reference import cdam, gradcam, gradients, legrad
from tests.reference.contrast import contrast_model, nearest_classes
from tests.reference.model import textbook_model

CONTRAST = Contrast(gamma=0.7, num_classes=2)
TEXTBOOK = {
    estimators.CDAM: lambda model, image: patches(model, cdam.cdam(model, image, 0)),
    estimators.GradCAM: lambda model, image: gradcam.gradcam(model, image, 0),
    estimators.InputXGradient: lambda model, image: gradients.input_x_gradient(model, image, 0),
    estimators.LeGrad: lambda model, image: legrad.legrad(model, image, 0, legrad.cls_token),
}
LINEAR = [  # in the output
    estimators.CDAM(),
    estimators.SmoothCDAM(num_samples=5, noise_level=0.3),
    estimators.IntegratedCDAM(num_steps=6),
    estimators.InputXGradient(),
    estimators.IntegratedGradients(num_steps=6),
    estimators.SmoothGrad(num_samples=5, noise_level=0.3),
    estimators.AttnLRP(),
    estimators.DeepCDAM(),
    estimators.TokenAblation(),
    estimators.Occlusion(num_passes=40),
    estimators.RISE(num_passes=10),
    estimators.KernelSHAP(num_passes=30),
]


def name_of(estimator):
    return getattr(estimator, "__name__", type(estimator).__name__)


def patches(model, scores):
    return scores[model.num_prefix_tokens :]


def contrasted(estimator, backbone, images, targets, contrast=CONTRAST, seeds=None):
    with torch.no_grad():
        logits = backbone(images)
    other, numbers = contrast.applied(backbone, logits, targets)
    return estimator.attribute(other, images, numbers, seeds)


@pytest.mark.parametrize("options", [{}, {"reg_tokens": 4, "init_values": 0.5}], ids=["1prefix", "5prefix-layerscale"])
@pytest.mark.parametrize("method", TEXTBOOK, ids=name_of)
def test_maps_of_the_contrast_equal_autograd_of_it(method, options, images, targets):
    vit = random_vit(seed=7, **options)
    backbone, model = Backbone(vit), textbook_model(vit)
    maps = contrasted(method(), backbone, images, targets)
    for b, image in enumerate(images):
        for k, target in enumerate(targets[b].tolist()):
            rivals = nearest_classes(model(image[None].double())[0], target, 2)
            expected = TEXTBOOK[method](contrast_model(model, target, rivals, 0.7), image)
            if expected.ndim == 1:
                expected = expected.reshape(backbone.grid(image)).repeat_interleave(8, 0).repeat_interleave(8, 1)
            assert_agree(maps[b, k], expected)


@pytest.mark.parametrize("estimator", LINEAR, ids=name_of)
def test_classes_that_are_compared_are_chosen_from_the_clean_image_and_stay(
    estimator, backbone, images, targets, seeds
):
    with torch.no_grad():
        rivals = CONTRAST.rivals(backbone(images), targets[:, :1])[:, 0]
    own, *others = estimator.attribute(backbone, images, torch.cat([targets[:, :1], rivals], 1), seeds).unbind(1)
    expected = own - 0.7 * sum(others) / len(others)
    assert_agree(contrasted(estimator, backbone, images, targets[:, 0], seeds=seeds), expected)


@pytest.mark.parametrize(
    "estimator", [*(method() for method in TEXTBOOK), estimators.RelevancePropagation()], ids=name_of
)
def test_gamma_0_gives_the_plain_map(estimator, backbone, images, targets):
    maps = contrasted(estimator, backbone, images, targets, Contrast(gamma=0))
    assert_agree(maps, estimator.attribute(backbone, images, targets), 1e-5)


def test_an_images_map_does_not_depend_on_its_batch(backbone, images, targets):
    together = contrasted(estimators.CDAM(), backbone, images, targets)
    alone = [contrasted(estimators.CDAM(), backbone, images[b : b + 1], targets[b : b + 1]) for b in range(2)]
    assert_agree(together, torch.cat(alone), 1e-5)


def test_targets_of_a_contrast_share_the_forward_pass(backbone, images, targets):
    counted = []
    handle = backbone.vit.patch_embed.register_forward_hook(
        lambda _module, inputs, _output: counted.append(len(inputs[0]))
    )
    with handle:
        other, numbers = CONTRAST.applied(backbone, torch.randn(2, 7), targets)
        estimators.InputXGradient().attribute(other, images, numbers)
    assert sum(counted) == len(images)


def test_nearest_classes_come_first_and_ties_in_order_of_their_numbers():
    logits = torch.tensor([[1.0, 3.0, 2.0, 2.5, 3.0, 9.0]])
    assert Contrast(num_classes=4).rivals(logits, torch.tensor([[1, 2]])).tolist() == [[[4, 3, 2, 0], [3, 0, 1, 4]]]


def test_a_contrast_reads_what_the_head_reads_and_leaves_the_backbone_as_it_was(backbone, targets):
    head = nn.Linear(48, 7)
    head.blocks_read = 1
    mine = backbone.with_head(head)
    other, _ = CONTRAST.applied(mine, torch.randn(2, 7), targets)
    assert other.head.blocks_read == 1
    assert mine.head is head
    assert other.vit is mine.vit
    assert other.num_classes == 4


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: Contrast(gamma=-0.1), "gamma=-0.1"),
        (lambda: Contrast(num_classes=0), "num_classes=0"),
        (lambda: Contrast(num_classes=7).rivals(torch.randn(1, 7), torch.tensor([[0]])), "at most 6"),
    ],
    ids=["gamma", "none", "too many"],
)
def test_contrasts_that_cannot_be_are_refused(make, key):
    with pytest.raises(UserError, match=key):
        make()
