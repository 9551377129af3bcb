"""Preprocessing: from a picture with values in [0, 1] to the normalised square a backbone was trained on."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from cdam_bench.errors import UserError, require, require_count, require_number

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def _channels(name: str, values: Sequence[float]) -> tuple[float, ...]:
    """A number per channel, or UserError."""
    listed = isinstance(values, Sequence) and not isinstance(values, str) and len(values) == 3
    require(listed, f"{name}={values}: give three numbers, one per channel")
    return tuple(require_number(name, value, -1000, 1000) for value in values)


class Preprocessing:
    """Resize the shorter side, crop the centre, normalise.

    Args:
        image_size: side of the square given to the backbone, in pixels.
        resize: length of the shorter side before cropping, in pixels; None: image_size.
        interpolation: "bicubic" | "bilinear" | "nearest".
        mean, std: per channel, for values in [0, 1].
    Raises:
        UserError: for sizes or interpolations that cannot be.
    """

    def __init__(
        self,
        image_size: int,
        resize: int | None = None,
        interpolation: str = "bicubic",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        require_count("image_size", image_size)
        resize = image_size if resize is None else require_count("resize", resize)
        require(
            resize >= image_size, f"resize={resize} is smaller than image_size={image_size}: the crop would not fit"
        )
        allowed = ("bicubic", "bilinear", "nearest")
        if interpolation not in allowed:
            raise UserError(f"interpolation={interpolation} is unknown: use one of {', '.join(allowed)}")
        self.image_size = image_size
        self.resize = resize
        self.interpolation = InterpolationMode(interpolation)
        self.mean, self.std = _channels("mean", mean), _channels("std", std)
        require(min(self.std) > 0, f"std={list(std)}: must be positive")

    def __call__(self, picture: Image.Image | Tensor) -> Tensor:
        """Picture (PIL, or (3, H, W) in [0, 1]) → (3, image_size, image_size), normalised."""
        either: Any = picture  # torchvision takes both and says Tensor
        if tuple(F.get_image_size(either)) != (self.image_size, self.image_size):
            picture = F.resize(either, [self.resize], self.interpolation, antialias=True)
            picture = F.center_crop(picture, [self.image_size, self.image_size])
        return self.normalised(picture)

    def normalised(self, picture: Image.Image | Tensor) -> Tensor:
        """Picture (PIL, or (3, H, W) in [0, 1]) of any size → (3, H, W), normalised."""
        if isinstance(picture, Image.Image):
            picture = F.to_tensor(picture)
        return F.normalize(picture, list(self.mean), list(self.std))

    def to_pixels(self, images: Tensor) -> Tensor:
        """Undo the normalisation: (..., 3, H, W) → values in [0, 1], for showing."""
        mean = torch.tensor(self.mean, device=images.device)[:, None, None]
        std = torch.tensor(self.std, device=images.device)[:, None, None]
        return (images * std + mean).clamp(0, 1)
