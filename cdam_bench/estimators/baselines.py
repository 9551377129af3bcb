"""Baselines: the images without content that a path to the image begins at."""

import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.computing.blur import gaussian_blur
from cdam_bench.computing.colours import PLAIN, plain_colour
from cdam_bench.errors import require, require_number

NAMED = ("mean", *PLAIN, "blur")
BLUR = 14 / 224  # sigma of the blurred image, as a share of its shorter side; that of the paper's perturbation


def require_baseline(baseline: float | str) -> float | str:
    """A method's argument `baseline`, or UserError: a pixel's value in normalised units, or the name of a baseline."""
    if not isinstance(baseline, str):
        return require_number("baseline", baseline, -100, 100)
    require(baseline in NAMED, f"baseline={baseline} is unknown: use a number or one of {', '.join(NAMED)}")
    return baseline


def baseline_images(baseline: float | str, backbone: Backbone, images: Tensor) -> Tensor:
    """The baseline of every image.

    Args:
        baseline: a pixel's value in normalised units; "mean": 0, the mean colour of the training images; "black" or "white":
            pixel value 0 or 1 before normalisation; "blur": the image itself under a Gaussian blur of 14 pixels at 224².
        backbone: whose `preprocessing` says what black and white are.
        images: (B, 3, H, W), normalised.
    Returns:
        (B, 3, H, W).
    Raises:
        UserError: for black and white where the normalisation is not known.
    """
    if not isinstance(baseline, str):
        return torch.full_like(images, baseline)
    if baseline == "blur":
        return gaussian_blur(images, BLUR * min(images.shape[-2:]))
    if baseline == "mean":
        return torch.zeros_like(images)
    colour = plain_colour(baseline, getattr(backbone, "preprocessing", None), "baseline")
    return colour.to(images).expand_as(images)
