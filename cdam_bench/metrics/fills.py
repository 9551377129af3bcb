"""Fills: what perturbed pixels are replaced by."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cdam_bench.computing.blur import gaussian_blur
from cdam_bench.computing.colours import Normalised, plain_colour
from cdam_bench.errors import UserError, require


@dataclass(frozen=True)
class Scene:
    """What a fill may be made from.

    Args:
        images: (B, 3, H, W), normalised.
        blur_sigma: in pixels.
        seeds: (B,) long, one per image; None: all 0.
        normalisation: mean and std of the images, or None where they are not known.
        other_images: gives another image (B, 3, H, W) for each, or None where there is no dataset.
    """

    images: Tensor
    blur_sigma: float
    seeds: Tensor | None = None
    normalisation: Normalised | None = None
    other_images: Callable[[], Tensor] | None = None


def blurred(scene: Scene) -> Tensor:
    """The image itself under a Gaussian blur (the paper's)."""
    return gaussian_blur(scene.images, scene.blur_sigma)


def mean_coloured(scene: Scene) -> Tensor:
    """0 in normalised units: the mean colour of the data that the network was normalised for, the same for all images."""
    return torch.zeros_like(scene.images)


def black(scene: Scene) -> Tensor:
    """Pixel value 0 before normalisation."""
    return plain_colour("black", scene.normalisation, "fill").to(scene.images).expand_as(scene.images)


def other_image(scene: Scene) -> Tensor:
    """Another image of the dataset, chosen by each image's seed."""
    if scene.other_images is None:
        raise UserError(
            "fill=other_image: there is no dataset to take other images from: give the images themselves as fill, (B, 3, H, W)"
        )
    return scene.other_images().to(scene.images)


def noise(scene: Scene) -> Tensor:
    """Standard normal noise in normalised units, so with the mean and deviation of the data; drawn from each image's seed alone."""
    seeds = [0] * len(scene.images) if scene.seeds is None else scene.seeds.tolist()
    shape = scene.images.shape[1:]
    # the seed is changed, else a method's own noise for the same image would be the very same numbers
    own = [torch.Generator().manual_seed(zlib.crc32(f"fill/{seed}".encode())) for seed in seeds]
    return torch.stack([torch.randn(shape, generator=generator) for generator in own]).to(scene.images)


FILLS: dict[str, Callable[[Scene], Tensor]] = {
    "blur": blurred,
    "mean": mean_coloured,
    "black": black,
    "other_image": other_image,
    "noise": noise,
}


def require_fill(fill: str) -> str:
    """A metric's argument `fill`, or UserError: it must be the name of a fill."""
    if not isinstance(fill, str) or fill not in FILLS:
        raise UserError(f"fill={fill} is unknown: use one of {', '.join(FILLS)}")
    return fill


def filled(fill: str | Tensor, scene: Scene) -> Tensor:
    """What the pixels of a scene's images are replaced by.

    Args:
        fill: a name in `FILLS`, or the images themselves, (B, 3, H, W), normalised as the others are.
        scene: what it is made from.
    Returns:
        (B, 3, H, W), on the images' device.
    Raises:
        UserError: for an unknown name, images of another shape, and where what the fill needs is not there.
    """
    if not isinstance(fill, Tensor):
        return FILLS[require_fill(fill)](scene)
    require(
        fill.shape == scene.images.shape,
        f"fill of shape {tuple(fill.shape)} does not belong to images of shape {tuple(scene.images.shape)}",
    )
    return fill.to(scene.images)
