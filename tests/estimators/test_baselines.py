"""Baselines of IntGrad: what each is, and maps against captum's from the same images."""

from types import SimpleNamespace

import captum.attr
import pytest
import torch

from cdam_bench.configs import build_estimator, compose
from cdam_bench.errors import UserError
from cdam_bench.estimators import IntegratedGradients
from tests.agreement import assert_agree
from tests.reference.perturbation import blur

MEAN, STD = torch.tensor([0.2, 0.4, 0.6]), torch.tensor([0.1, 0.2, 0.3])


def baseline_of(name, images):
    """Worked out apart: from pixels, and by scipy's blur."""
    if name == "blur":
        return torch.stack([blur(image, 14 * 32 / 224) for image in images]).float()
    pixels = {"mean": MEAN, "black": torch.zeros(3), "white": torch.ones(3)}[name]
    return ((pixels - MEAN) / STD)[:, None, None].expand_as(images).contiguous()


@pytest.fixture
def aware(backbone):
    """A backbone that knows how its images were normalised."""
    backbone.preprocessing = SimpleNamespace(mean=MEAN.tolist(), std=STD.tolist())
    return backbone


@pytest.mark.parametrize("name", ["mean", "black", "white", "blur"])
def test_integrated_gradients_from_a_baseline_equals_captum(aware, vit, images, targets, name):
    actual = IntegratedGradients(num_steps=12, baseline=name).attribute(aware, images, targets[:, 0])
    expected = captum.attr.IntegratedGradients(vit).attribute(
        images, baselines=baseline_of(name, images), target=targets[:, 0], n_steps=12
    )
    assert_agree(actual, expected.sum(1))


def test_the_mean_baseline_is_the_default_one(aware, images, targets):
    default, mean = (IntegratedGradients(num_steps=3, **own) for own in ({}, {"baseline": "mean"}))
    assert torch.equal(*(one.attribute(aware, images, targets) for one in (default, mean)))


@pytest.mark.parametrize("name", ["black", "white"])
def test_black_and_white_of_a_backbone_without_preprocessing_are_told_in_one_line(backbone, images, targets, name):
    backbone.preprocessing = None
    with pytest.raises(UserError, match=f"^baseline={name}: the mean and std"):
        IntegratedGradients(num_steps=2, baseline=name).attribute(backbone, images, targets)


@pytest.mark.parametrize("baseline", ["grey", "", None, float("nan"), 1000, True])
def test_a_baseline_that_cannot_be_is_refused(baseline):
    with pytest.raises(UserError, match=f"^baseline={baseline}: |^baseline={baseline} is unknown"):
        IntegratedGradients(baseline=baseline)


@pytest.mark.parametrize("name", ["black", "white", "blur"])
def test_every_baseline_has_a_configuration(name):
    assert build_estimator(compose([f"estimator=integrated_gradients_{name}"])).baseline == name
