"""What perturbed pixels are replaced by: what each fill is, that it depends on the image alone, and what curves do with it."""

from types import SimpleNamespace

import pytest
import torch

from cdam_bench.datasets import Preprocessing
from cdam_bench.errors import UserError
from cdam_bench.metrics import Fidelity, Subject, perturbation_curves
from cdam_bench.metrics.fills import FILLS, Scene, filled
from tests.agreement import assert_agree
from tests.reference.perturbation import blur, perturbation_curve

SIGMA, STEPS = 3.0, 6
PREPROCESSING = Preprocessing(48, mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3))


@pytest.fixture(scope="module")
def scene(images, seeds):
    return Scene(images, SIGMA, seeds, PREPROCESSING, lambda: images.flip(0))


@pytest.fixture(scope="module")
def maps(images):
    return torch.randn(images[:, 0].shape, generator=torch.Generator().manual_seed(8))


def test_the_mean_fill_is_the_colour_that_normalisation_makes_zero(scene):
    pixels = PREPROCESSING.to_pixels(filled("mean", scene))
    assert torch.allclose(pixels, torch.tensor(PREPROCESSING.mean)[:, None, None].expand_as(pixels))


def test_the_black_fill_is_pixel_value_zero_before_normalisation(scene, images):
    fill = filled("black", scene)
    assert_agree(fill[0], PREPROCESSING.normalised(torch.zeros_like(images[0])), 1e-6)
    assert torch.equal(fill[0], fill[1])


def test_the_blur_fill_is_a_gaussian_blur(scene, images):
    assert_agree(filled("blur", scene), torch.stack([blur(image, SIGMA) for image in images]), 1e-5)


def test_the_noise_fill_has_mean_0_and_deviation_1():
    noise = filled("noise", Scene(torch.zeros(1, 3, 200, 200), SIGMA, torch.tensor([5])))
    assert abs(float(noise.mean())) < 0.01
    assert abs(float(noise.std()) - 1) < 0.01


def test_the_noise_of_an_image_depends_on_its_seed_alone(scene, images, seeds):
    together = filled("noise", scene)
    alone = filled("noise", Scene(images[1:] + 1, SIGMA, seeds[1:]))
    assert torch.equal(together[1:], alone)
    assert not torch.equal(together[0], together[1])


def test_the_noise_fill_is_not_the_noise_that_a_method_draws_with_the_same_seed(scene, images, seeds):
    drawn = torch.randn(images[0].shape, generator=torch.Generator().manual_seed(int(seeds[0])))
    correlation = torch.corrcoef(torch.stack([drawn.flatten(), filled("noise", scene)[0].flatten()]))[0, 1]
    assert abs(float(correlation)) < 0.1


@pytest.mark.parametrize("fill", ["mean", "black", "noise", "tensor"])
@pytest.mark.parametrize("order", ["mif", "lif"])
def test_curves_with_a_fill_equal_a_loop_over_sorted_pixels(
    backbone, textbook, images, maps, seeds, scene, fill, order
):
    replacement = images.flip(0) if fill == "tensor" else filled(fill, scene)
    actual = perturbation_curves(
        backbone,
        images,
        maps,
        order,
        STEPS,
        fill=replacement if fill == "tensor" else fill,
        seeds=seeds,
        normalisation=PREPROCESSING,
    )
    expected = [
        perturbation_curve(textbook, *one[:2], order, STEPS, SIGMA, one[2])
        for one in zip(images, maps, replacement, strict=True)
    ]
    assert_agree(actual, torch.stack(expected))


def test_fidelity_replaces_pixels_by_the_other_images_of_its_subject(backbone, textbook, images, maps, targets, seeds):
    subject = Subject(backbone, images, targets[:, :1], seeds, other_images=lambda: images.flip(0))
    found = (
        Fidelity(STEPS, SIGMA, fill="other_image").measure(subject, maps[:, None]).curves["fidelity_other_image_pixel"]
    )
    for b, image in enumerate(images):
        expected = perturbation_curve(textbook, image, maps[b], "mif", STEPS, SIGMA, images[1 - b])[:, targets[b, 0]]
        torch.testing.assert_close(found[b, 0, 0, :, 0].double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fill", list(FILLS))
def test_a_curve_ends_with_what_is_left_of_the_logit_when_all_is_replaced(
    backbone, textbook, images, maps, targets, seeds, scene, fill
):
    subject = Subject(backbone, images, targets, seeds, normalisation=PREPROCESSING, other_images=scene.other_images)
    (curve,) = Fidelity(2, SIGMA, fill=fill).measure(subject, torch.stack([maps, -maps], 1)).curves.values()
    expected = textbook(filled(fill, scene).double()).gather(1, targets)
    for end in (curve[:, k, order, -1].double() for k in range(2) for order in range(2)):
        torch.testing.assert_close(end, expected, rtol=1e-4, atol=1e-4)


class Linear:
    """Stands in for a backbone: one output, a weighted sum of the pixels, so that every pixel's importance is known."""

    device = torch.device("cpu")
    patch_size = 8

    def __init__(self, weights):
        self.weights = weights

    def logits(self, images):
        return (images * self.weights).sum((1, 2, 3))[:, None]


@pytest.fixture(scope="module")
def linear(images):
    return Linear(torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(3)))


def gaps(backbone, images, maps, fill):
    """A_LIF − A_MIF of maps (B, R, H, W): (B, R)."""
    subject = Subject(
        backbone, images, torch.zeros(len(images), maps.shape[1], dtype=torch.long), torch.arange(len(images))
    )
    curves = Fidelity(16, SIGMA, fill=fill).measure(subject, maps).curves
    (curve,) = curves.values()
    return (curve[:, :, 1] - curve[:, :, 0]).double().mean((-2, -1))


@pytest.mark.parametrize("fill", ["blur", "mean", "noise"])
def test_no_map_is_better_than_what_each_pixel_is_worth_and_its_reverse_is_as_bad(linear, images, fill):
    worth = ((images - filled(fill, Scene(images, SIGMA, torch.arange(len(images))))) * linear.weights).sum(1)
    others = torch.randn(len(images), 6, *worth.shape[1:], generator=torch.Generator().manual_seed(4))
    others[:, 0] = 0.0  # a constant map
    found = gaps(linear, images, torch.cat([worth[:, None], -worth[:, None], others], 1), fill)
    assert (found[:, :1] > found[:, 2:]).all()
    assert (found[:, 1:2] < found[:, 2:]).all()
    torch.testing.assert_close(found[:, 1], -found[:, 0], rtol=1e-4, atol=1e-4)
    assert (found[:, 2].abs() < 0.5 * found[:, 0]).all()


@pytest.mark.parametrize(
    ("fill", "reason"),
    [
        (torch.zeros(1, 3, 32, 48), r"fill of shape \(1, 3, 32, 48\)"),
        (torch.zeros(2, 3, 48, 32), r"fill of shape \(2, 3, 48, 32\)"),
        (torch.zeros(2, 32, 48), r"fill of shape \(2, 32, 48\)"),
        ("green", "fill=green is unknown: use one of blur, mean, black, other_image, noise"),
        ("black", "fill=black: the mean and std"),
        ("other_image", "fill=other_image: there is no dataset"),
    ],
    ids=str,
)
def test_a_fill_that_cannot_be_is_refused_in_one_line(backbone, images, maps, fill, reason):
    with pytest.raises(UserError, match=f"^{reason}"):
        perturbation_curves(backbone, images, maps, "mif", 2, fill=fill)


def test_black_is_known_from_a_backbone_that_knows_its_preprocessing(backbone, images, maps):
    expected = perturbation_curves(backbone, images, maps, "mif", 2, fill="black", normalisation=PREPROCESSING)
    backbone.preprocessing = SimpleNamespace(mean=PREPROCESSING.mean, std=PREPROCESSING.std)
    assert torch.equal(perturbation_curves(backbone, images, maps, "mif", 2, fill="black"), expected)
