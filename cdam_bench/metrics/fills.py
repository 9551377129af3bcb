"""Fills: what perturbed pixels are replaced by."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cdam_bench.computing.blur import gaussian_blur
from cdam_bench.computing.colours import Normalised, plain_colour
from cdam_bench.errors import UserError, require
from cdam_bench.metrics.imputation import impute

IMPUTATION_NOISE = 0.01  # in normalised units, Rong et al. 2022


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


@dataclass(frozen=True)
class Imputer:
    """A fill that depends on what is missing: each missing pixel is a mean of its neighbours, and a little noise.

    Args:
        images: (B, 3, H, W), normalised.
        noise: (B, 3, H, W), added to imputed pixels.
    Source: Rong et al. 2022, "A Consistent and Efficient Evaluation Strategy for Attribution Methods".
    """

    images: Tensor
    noise: Tensor

    def __call__(self, index: Tensor, missing: Tensor) -> Tensor:
        """Images `index` (M,) with `missing` pixels (M, 1, H, W) imputed: (M, 3, H, W)."""
        return impute(self.images[index], missing) + self.noise[index]


Fill = Tensor | Imputer


def linearly_imputed(scene: Scene) -> Imputer:
    """Noisy linear imputation; where nothing is left to impute from, the mean colour."""
    return Imputer(scene.images, IMPUTATION_NOISE * noise(scene))


FILLS: dict[str, Callable[[Scene], Tensor]] = {
    "blur": blurred,
    "mean": mean_coloured,
    "black": black,
    "other_image": other_image,
    "noise": noise,
}
IMPUTED: dict[str, Callable[[Scene], Imputer]] = {"linear": linearly_imputed}


def require_fill(fill: str) -> str:
    """A metric's argument `fill`, or UserError: it must be the name of a fill."""
    if not isinstance(fill, str) or fill not in FILLS | IMPUTED:
        raise UserError(f"fill={fill} is unknown: use one of {', '.join(FILLS | IMPUTED)}")
    return fill


def filled(fill: str | Tensor, scene: Scene) -> Fill:
    """What the pixels of a scene's images are replaced by.

    Args:
        fill: a name in `FILLS` or `IMPUTED`, or the images themselves, (B, 3, H, W), normalised as the others are.
        scene: what it is made from.
    Returns:
        (B, 3, H, W), on the images' device; or for a name in `IMPUTED` what gives them for a mask.
    Raises:
        UserError: for an unknown name, images of another shape, and where what the fill needs is not there.
    """
    if not isinstance(fill, Tensor):
        return (FILLS | IMPUTED)[require_fill(fill)](scene)
    require(
        fill.shape == scene.images.shape,
        f"fill of shape {tuple(fill.shape)} does not belong to images of shape {tuple(scene.images.shape)}",
    )
    return fill.to(scene.images)


def replaced(images: Tensor, fill: Fill, index: Tensor, mask: Tensor) -> Tensor:
    """Images `index` (M,) of (B, 3, H, W) with the pixels of `mask` (M, 1, H, W) taken from the fill: (M, 3, H, W)."""
    other = fill[index] if isinstance(fill, Tensor) else fill(index, mask)
    return torch.where(mask, other, images[index])
