"""Occlusion against captum."""

import captum.attr
import pytest

from cdam_bench.errors import UserError
from cdam_bench.estimators import Occlusion
from tests.agreement import assert_agree


@pytest.mark.parametrize(
    ("num_passes", "window", "baseline", "stride"), [(42, 2, 0.0, 5), (60, 1, 0.4, 5), (14, 2, 0.0, 11)]
)
def test_occlusion_equals_captums(any_vit, any_backbone, images, targets, num_passes, window, baseline, stride):
    estimator = Occlusion(num_passes, window, baseline, internal_batch_size=16)
    assert estimator.stride(any_backbone, images.shape[-2:]) == stride
    expected = captum.attr.Occlusion(any_vit).attribute(
        images,
        (3, 8 * window, 8 * window),
        (3, stride, stride),
        baselines=baseline,
        target=targets[:, 1],
        perturbations_per_eval=8,
    )
    assert_agree(estimator.attribute(any_backbone, images, targets[:, 1]), expected[:, 0])


@pytest.mark.parametrize("num_passes", [13, 25, 70, 200])
def test_occlusion_keeps_its_budget_of_forward_passes(backbone, images, targets, monkeypatch, num_passes):
    asked = []
    monkeypatch.setattr(type(backbone), "features", counted(type(backbone).features, asked))
    Occlusion(num_passes).attribute(backbone, images[:1], targets[:1])
    assert sum(asked) <= num_passes


def counted(forward, asked):
    def and_count(self, batch):
        asked.append(len(batch))
        return forward(self, batch)

    return and_count


def test_occlusion_refuses_a_budget_that_leaves_pixels_uncovered(backbone, images, targets):
    with pytest.raises(UserError, match="num_passes=6: windows of 16 pixels need 7 to cover 32×48"):
        Occlusion(num_passes=6).attribute(backbone, images, targets)
    assert Occlusion(num_passes=7).attribute(backbone, images, targets).isfinite().all()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"num_passes": 0}, "num_passes=0"),
        ({"window": -1}, "window=-1"),
        ({"baseline": 1000}, "baseline=1000"),
        ({"internal_batch_size": 0}, "internal_batch_size=0"),
    ],
)
def test_numbers_that_cannot_be_are_refused(settings, key):
    with pytest.raises(UserError, match=key):
        Occlusion(**settings)
