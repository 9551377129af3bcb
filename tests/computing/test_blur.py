"""The blurred copy against scipy."""

import pytest
import torch

from cdam_bench.computing.blur import gaussian_blur
from cdam_bench.errors import UserError
from tests.agreement import assert_agree
from tests.conftest import random_images
from tests.reference.perturbation import blur


# sigmas for which ⌈3σ⌉, our radius, is scipy's round(3σ)
@pytest.mark.parametrize("sigma", [0.9, 2.0, 4.0, 10.0])
def test_blur_equals_scipys_with_mirrored_edges(images, sigma):
    assert_agree(gaussian_blur(images, sigma), torch.stack([blur(image, sigma) for image in images]), 1e-5)


def test_the_papers_blur_at_its_image_size_equals_scipys():
    images = random_images(1, size=(224, 224))
    assert_agree(gaussian_blur(images, 14.0), torch.stack([blur(image, 14.0) for image in images]), 1e-5)


def test_no_blur_leaves_the_images_as_they_are(images):
    assert torch.equal(gaussian_blur(images, 0), images)


def test_a_constant_image_stays_as_it_is():
    grey = torch.full((1, 3, 32, 48), 0.7)
    torch.testing.assert_close(gaussian_blur(grey, 14.0), grey)


def test_a_negative_sigma_is_refused(images):
    with pytest.raises(UserError, match="blur_sigma=-1"):
        gaussian_blur(images, -1)
