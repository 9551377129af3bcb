"""Rankings by S, |S| and max(S, 0)."""

import pytest
import torch

from cdam_bench.errors import UserError
from cdam_bench.metrics import Fidelity, Subject, perturbation_curves
from cdam_bench.metrics.ranking import ranking_map
from tests.reference.perturbation import order_of_pixels, perturbation_curve

SIGMA, STEPS = 3.0, 5


@pytest.fixture(scope="module")
def maps(images):
    return torch.randn(images[:, 0].shape, generator=torch.Generator().manual_seed(8))


@pytest.mark.parametrize(("rank_by", "change"), [("absolute", abs), ("positive", lambda value: max(value, 0.0))])
@pytest.mark.parametrize("order", ["mif", "lif"])
def test_curves_rank_by_magnitude_or_by_the_positive_part(backbone, textbook, images, maps, rank_by, change, order):
    actual = perturbation_curves(backbone, images, maps, order, STEPS, SIGMA, rank_by=rank_by)
    for b, image in enumerate(images):
        changed = torch.tensor([change(value) for value in maps[b].flatten().tolist()]).reshape(maps[b].shape)
        expected = perturbation_curve(textbook, image, changed, order, STEPS, SIGMA)
        torch.testing.assert_close(actual[b].double(), expected, rtol=1e-4, atol=1e-5)


def test_negative_pixels_of_a_positive_ranking_are_tied_and_come_by_index():
    values = torch.tensor([[-3.0, 0.5, -1.0], [0.0, -2.0, 0.7]])
    assert order_of_pixels(ranking_map(values, "pixel", "positive", 1), "mif") == [5, 1, 0, 2, 3, 4]


def test_patches_are_averaged_before_the_magnitude_is_taken():
    patch = torch.tensor([[3.0, -3.0], [0.0, 0.0]])
    assert (ranking_map(patch, "patch", "absolute", 2) == 0).all()


def test_the_sign_of_a_map_does_not_count_in_a_ranking_by_magnitude(backbone, images, maps, targets, seeds):
    subject = Subject(backbone, images, targets[:, :1], seeds)
    metric = Fidelity(STEPS, SIGMA, rank_by="absolute")
    found, reversed_sign = (metric.measure(subject, sign * maps[:, None]).scores for sign in (1, -1))
    for name, values in found.items():
        assert torch.equal(values, reversed_sign[name])


@pytest.mark.parametrize("rank_by", ["size", "", None, 3])
def test_an_unknown_ranking_is_refused(rank_by):
    with pytest.raises(UserError, match=f"^rank_by={rank_by} is unknown: use one of signed, absolute, positive"):
        Fidelity(rank_by=rank_by)
