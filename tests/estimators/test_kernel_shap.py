"""KernelSHAP against Shapley values by their definition, and against captum's fit of the same coalitions."""

import captum.attr
import pytest
import torch
from captum._utils.models.linear_model import SkLearnLinearRegression

from cdam_bench.errors import UserError
from cdam_bench.estimators import KernelSHAP
from cdam_bench.estimators.kernel_shap import coalitions
from tests.agreement import assert_agree
from tests.reference.masking import output_of_coalition, shapley_values
from tests.reference.model import for_each


def pixels_of(squares, patch=8):
    return squares.repeat_interleave(patch, 0).repeat_interleave(patch, 1)


def test_with_a_budget_for_every_coalition_kernel_shap_is_the_shapley_value(
    any_backbone, any_textbook, images, targets
):
    estimator = KernelSHAP(num_passes=64, baseline=0.6)  # 2 × 3 squares
    squares = pixels_of(estimator.squares(any_backbone, images))
    values = for_each(lambda *one: shapley_values(*one, squares, 0.6), any_textbook, images[:1], targets[:1])
    actual = estimator.attribute(any_backbone, images[:1], targets[:1])
    assert_agree(actual, values[..., squares])


def test_kernel_shap_equals_captums_fit_of_the_same_coalitions(backbone, textbook, images, targets, seeds):
    """captum has no exact constraints: the empty and the full coalition are rows of a very large weight."""
    estimator = KernelSHAP(num_passes=102, cell=1)  # 24 squares
    squares = pixels_of(estimator.squares(backbone, images))
    members, _ = coalitions(24, 100, int(seeds[0]))
    rows = torch.cat([torch.zeros(1, 24), torch.ones(1, 24), members])
    order = iter(rows)
    lime = captum.attr.LimeBase(
        textbook,
        SkLearnLinearRegression(),
        similarity_func=lambda _image, _copy, z, **_: 1e7 if z.sum() in (0, 24) else 1.0,
        perturb_func=lambda _image, **_: next(order)[None].double(),
        perturb_interpretable_space=True,
        from_interp_rep_transform=lambda z, image, **_: image * z[0, squares],
        to_interp_rep_transform=None,
    )
    expected = lime.attribute(images[:1].double(), target=int(targets[0, 0]), n_samples=len(rows))
    actual = estimator.attribute(backbone, images[:1], targets[:1, 0], seeds[:1])
    assert_agree(actual[0], expected.reshape(-1)[squares])


@pytest.mark.parametrize("cell", [1, 2])
def test_the_values_sum_to_what_the_whole_image_gains(backbone, textbook, images, targets, seeds, cell):
    estimator = KernelSHAP(num_passes=100, cell=cell)
    squares = estimator.squares(backbone, images)
    scores = estimator.token_scores(backbone, images, targets, seeds)
    sizes = squares.flatten().bincount()[squares]
    all_squares, pixels = range(int(squares.max()) + 1), pixels_of(squares)

    def gain(model, image, target):
        whole = output_of_coalition(model, image, target, pixels, all_squares)
        return whole - output_of_coalition(model, image, target, pixels, ())

    expected = for_each(gain, textbook, images, targets)
    torch.testing.assert_close((scores / sizes).sum((-2, -1)).double(), expected, rtol=1e-4, atol=1e-4)


def test_more_coalitions_come_nearer_to_the_shapley_value(backbone, images, targets):
    exact = KernelSHAP(num_passes=64).attribute(backbone, images, targets)
    errors = []
    for budget in (12, 60):
        seeds = [torch.tensor([seed, seed + 50]) for seed in range(8)]
        drawn = [KernelSHAP(num_passes=budget).attribute(backbone, images, targets, some) for some in seeds]
        errors.append((torch.stack(drawn) - exact).square().mean())
    assert errors[1] < errors[0] / 2


def test_drawn_coalitions_come_in_complements_with_sizes_of_the_kernel():
    members, weights = coalitions(20, 4000, seed=3)
    assert torch.equal(members[::2] + members[1::2], torch.ones(2000, 20))
    assert torch.equal(weights, torch.ones(4000).double())
    shares = members.sum(1).long().bincount(minlength=21) / 4000
    sizes = torch.arange(1, 20)
    kernel = 1 / (sizes * (20 - sizes))
    torch.testing.assert_close(shares[1:20], kernel / kernel.sum(), atol=0.02, rtol=0)
    assert shares[0] == shares[20] == 0


def test_too_small_a_budget_and_a_single_square_are_refused(backbone, images, targets):
    with pytest.raises(UserError, match="num_passes=47: the values of 24 squares need 48"):
        KernelSHAP(num_passes=47, cell=1).attribute(backbone, images, targets)
    with pytest.raises(UserError, match="cell=6: one square"):
        KernelSHAP(cell=6).attribute(backbone, images, targets)


@pytest.mark.parametrize(
    ("settings", "key"),
    [({"num_passes": 0}, "num_passes=0"), ({"cell": 0}, "cell=0"), ({"baseline": -101}, "baseline=-101")],
)
def test_numbers_that_cannot_be_are_refused(settings, key):
    with pytest.raises(UserError, match=key):
        KernelSHAP(**settings)
