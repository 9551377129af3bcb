"""Feature perturbation augmentation makes the images the fidelity benchmark makes."""

import torch

from cdam_bench.computing.blur import gaussian_blur
from cdam_bench.training.perturbation import perturb_features


def perturbed_share(images, sigma, **settings):
    changed = perturb_features(images, sigma, 8, torch.Generator().manual_seed(0), **settings)
    blurred = gaussian_blur(images, sigma)
    from_blur = (changed == blurred).all(1)
    assert (from_blur | (changed == images).all(1)).all(), "a pixel is neither the image's nor its blurred copy's"
    return from_blur.float().mean((1, 2))


def test_every_pixel_is_the_images_or_its_blurred_copys_and_all_shares_occur():
    share = perturbed_share(torch.rand(600, 3, 32, 32), 2.0, probability=1.0)
    assert abs(share.mean() - 0.5) < 0.05
    histogram = torch.histc(share, 5, 0, 1) / 600
    assert (histogram > 0.12).all()  # uniform would be 0.2 in each


def test_only_the_chosen_probability_of_images_is_perturbed():
    share = perturbed_share(torch.rand(600, 3, 32, 32), 2.0, probability=0.3)
    assert abs((share > 0).float().mean() - 0.3) < 0.06
