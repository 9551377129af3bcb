"""Perturbation curves against a Python loop over pixels, and what the engine promises."""

import numpy as np
import pytest
import torch

from cdam_bench.errors import UserError
from cdam_bench.estimators import CDAM
from cdam_bench.metrics import area, perturbation_curves
from cdam_bench.metrics.ranking import average_per_patch
from tests.agreement import assert_agree
from tests.conftest import PATCH_SIZE
from tests.reference.perturbation import blur, curve_area, order_of_pixels, perturbation_curve

SIGMA = 3.0


class PixelReader:
    """Stands in for a backbone; its outputs are the pixels of the first channel, so a curve shows what was replaced."""

    device = torch.device("cpu")
    patch_size = PATCH_SIZE

    def logits(self, images):
        return images[:, 0].flatten(1)


def pixels_replaced(images, maps, order, steps, unit="pixel"):
    """Which pixels differ from the image's at every step: (B, steps + 1, H·W) bool."""
    outputs = perturbation_curves(PixelReader(), images, maps, order, steps, SIGMA, unit)
    return outputs != images[:, 0].flatten(1)[:, None]


@pytest.fixture(scope="module")
def maps(images):
    """Maps with a value of its own in every pixel."""
    return torch.randn(images[:, 0].shape, generator=torch.Generator().manual_seed(8))


@pytest.fixture(scope="module")
def tied_maps(images):
    """Maps of five values, each in many pixels."""
    values = torch.randint(5, images[:, 0].shape, generator=torch.Generator().manual_seed(9))
    return (values - 2) / 10


@pytest.fixture
def token_maps(backbone, images, targets):
    return CDAM().attribute(backbone, images, targets[:, 0])


@pytest.mark.parametrize("order", ["mif", "lif"])
def test_curves_equal_a_loop_over_sorted_pixels(any_backbone, any_textbook, images, tied_maps, order):
    actual = perturbation_curves(any_backbone, images, tied_maps, order, steps=7, blur_sigma=SIGMA)
    expected = [
        perturbation_curve(any_textbook, *pair, order, 7, SIGMA) for pair in zip(images, tied_maps, strict=True)
    ]
    assert_agree(actual, torch.stack(expected))


@pytest.mark.parametrize("order", ["mif", "lif"])
def test_curves_by_patch_equal_a_loop_over_the_maps_patch_means(backbone, textbook, images, maps, order):
    actual = perturbation_curves(backbone, images, maps, order, steps=6, blur_sigma=SIGMA, unit="patch")
    means = [np.kron(m.reshape(4, 8, 6, 8).mean((1, 3)), np.ones((8, 8))) for m in maps.double().numpy()]
    expected = [
        perturbation_curve(textbook, image, torch.from_numpy(mean), order, 6, SIGMA)
        for image, mean in zip(images, means, strict=True)
    ]
    assert_agree(actual, torch.stack(expected))


@pytest.mark.parametrize("order", ["mif", "lif"])
@pytest.mark.parametrize("steps", [1, 7, 40])
def test_pixels_are_replaced_in_order_and_ties_by_index(images, tied_maps, order, steps):
    replaced = pixels_replaced(images, tied_maps, order, steps)
    for index, importance in enumerate(tied_maps):
        pixels = order_of_pixels(importance, order)
        for step in range(steps + 1):
            expected = set(pixels[: round(step * len(pixels) / steps)])
            assert set(replaced[index, step].nonzero().flatten().tolist()) == expected


def test_lif_is_the_exact_reverse_of_mif(images, tied_maps):
    mif, lif = (pixels_replaced(images, tied_maps, order, 24) for order in ("mif", "lif"))
    assert torch.equal(lif, ~mif.flip(1))


def test_a_constant_map_is_perturbed_from_the_first_pixel_to_the_last(images):
    steps = 4
    replaced = pixels_replaced(images, torch.zeros_like(images[:, 0]), "mif", steps)
    quarter = replaced.shape[-1] // steps
    for step in range(steps + 1):
        assert replaced[:, step, : step * quarter].all()
        assert not replaced[:, step, step * quarter :].any()


@pytest.mark.parametrize("order", ["mif", "lif"])
def test_curves_start_at_the_image_and_end_at_its_blurred_copy(backbone, textbook, images, maps, order):
    curves = perturbation_curves(backbone, images, maps, order, steps=5, blur_sigma=SIGMA)
    blurred = torch.stack([blur(image, SIGMA) for image in images])
    assert_agree(curves[:, 0], textbook(images.double()), 1e-5)
    assert_agree(curves[:, -1], textbook(blurred), 1e-5)


def test_equal_maps_for_two_targets_give_identical_curves(backbone, images, maps):
    curves = perturbation_curves(backbone, images, maps[:, None].repeat(1, 2, 1, 1), "mif", steps=9, batch_size=4)
    assert torch.equal(curves[:, 0], curves[:, 1])


def test_curves_of_two_maps_in_one_call_equal_two_calls(backbone, images, maps, tied_maps):
    together = perturbation_curves(backbone, images, torch.stack([maps, tied_maps], 1), "lif", 6, SIGMA)
    apart = [perturbation_curves(backbone, images, each, "lif", 6, SIGMA) for each in (maps, tied_maps)]
    assert_agree(together, torch.stack(apart, 1), 1e-5)


def test_units_are_identical_for_maps_of_token_scores(backbone, images, token_maps):
    tied = (token_maps * 3).round() / 10  # whole patches that are equal to others
    for each in (token_maps, tied):
        for order in ("mif", "lif"):
            pixel, patch = (
                perturbation_curves(backbone, images, each, order, 11, SIGMA, unit) for unit in ("pixel", "patch")
            )
            assert torch.equal(pixel, patch)


def test_averaging_per_patch_does_not_change_a_map_of_token_scores(token_maps):
    assert torch.equal(average_per_patch(token_maps, PATCH_SIZE), token_maps)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_curves_do_not_depend_on_batch_size_or_neighbours(backbone, images, maps, batch_size):
    expected = perturbation_curves(backbone, images, maps, "mif", 6, SIGMA, batch_size=5)
    alone = [
        perturbation_curves(backbone, image[None], importance[None], "mif", 6, SIGMA, batch_size=batch_size)
        for image, importance in zip(images, maps, strict=True)
    ]
    assert_agree(torch.cat(alone), expected, 1e-5)


def limit_memory(monkeypatch, backbone, most):
    """logits() runs out of memory above `most` images; returns the list of batch sizes it was asked for."""
    logits, asked = backbone.logits, []

    def limited(images):
        asked.append(len(images))
        if len(images) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return logits(images)

    monkeypatch.setattr(backbone, "logits", limited)
    return asked


def test_batches_are_halved_for_good_when_memory_runs_out(monkeypatch, backbone, images, maps):
    expected = perturbation_curves(backbone, images, maps, "mif", 10, SIGMA)
    asked = limit_memory(monkeypatch, backbone, most=5)
    actual = perturbation_curves(backbone, images, maps, "mif", 10, SIGMA, batch_size=16)
    assert_agree(actual, expected, 1e-5)
    assert asked[:3] == [16, 8, 4]
    assert max(asked[3:]) == 4
    assert sum(asked[2:]) == 2 * 11  # no pass is run twice


def test_an_image_that_does_not_fit_into_memory_is_a_user_error(monkeypatch, backbone, images, maps):
    limit_memory(monkeypatch, backbone, most=0)
    with pytest.raises(UserError, match="does not fit into the device's memory"):
        perturbation_curves(backbone, images, maps, "mif", 2, SIGMA)


def test_every_perturbed_image_is_run_once(monkeypatch, backbone, images, maps):
    asked = limit_memory(monkeypatch, backbone, most=64)
    perturbation_curves(backbone, images, torch.stack([maps, maps, -maps], 1), "mif", 10, SIGMA)
    # per image: two different rankings of nine inner points, and 0 % and 100 % once
    assert sum(asked) == 2 * (2 * 9 + 2)


def test_area_equals_numpys_trapezoid_over_percent():
    curves = torch.randn(2, 3, 14, generator=torch.Generator().manual_seed(10)).double()
    expected = [[curve_area(curve) for curve in row] for row in curves]
    torch.testing.assert_close(area(curves), torch.tensor(np.array(expected)))


def test_area_of_a_straight_line_is_a_hundred_times_its_mean():
    assert area(torch.tensor([[1.0, 2.0, 3.0]])).item() == 200


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"order": "MIF"}, "mif, lif"),
        ({"unit": "token"}, "pixel, patch"),
        ({"steps": 0}, "steps=0"),
        ({"steps": -4}, "steps=-4"),
        ({"steps": 2.5}, "steps=2.5"),
        ({"blur_sigma": -1.0}, "blur_sigma=-1.0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"maps": torch.zeros(1, 32, 48)}, "do not belong"),
        ({"maps": torch.zeros(2, 48, 32)}, "do not belong"),
        ({"maps": torch.zeros(2, 4, 6)}, "do not belong"),
        ({"maps": torch.zeros(32, 48)}, "do not belong"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(backbone, images, maps, changes, reason):
    arguments = {"maps": maps, "order": "mif", "steps": 4} | changes
    with pytest.raises(UserError, match=reason):
        perturbation_curves(backbone, images, **arguments)
