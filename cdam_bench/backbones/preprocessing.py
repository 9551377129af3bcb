"""Preprocessing: from a picture with values in [0, 1] to the normalised square a backbone was trained on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Placement:
    """Where the pixels of a picture are in the image made of it: pixel (y, x) goes to (y · factors[0] − corner[0], …).

    Args:
        factors: of the resize, vertical and horizontal.
        corner: where the crop begins in the resized picture, (top, left) in pixels; negative: a border comes before.
        image_size: side of the image, in pixels.
    """

    factors: tuple[float, float]
    corner: tuple[int, int]
    image_size: int

    def boxes(self, boxes: Tensor) -> Tensor:
        """Boxes (..., 4), [top, left, bottom, right) in pixels of the picture → (..., 4) long, of the image, and clipped to it.

        Raises:
            UserError: for a box of which nothing is in the image.
        """
        placed = boxes * torch.tensor(self.factors * 2) - torch.tensor(self.corner * 2)
        placed = placed.round().long().clamp(0, self.image_size)
        require(
            bool((placed[..., 2:] > placed[..., :2]).all()),
            f"the preprocessing, whose crop is {self.image_size} pixels wide and begins at {self.corner}, cuts an annotated object "
            "off: crop less (backbone.preprocessing.resize or crop_pct), or use a dataset without boxes",
        )
        return placed


def centre_corner(length: int, side: int) -> int:
    """Where torchvision's centre crop of `side` pixels begins; negative: the border before a shorter picture."""
    return round((length - side) / 2) if length >= side else -((side - length) // 2)


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

    def placement(self, height: int, width: int) -> Placement:
        """Where the pixels of a drawn picture (3, H, W) are in its image."""
        side = self.image_size
        if (height, width) == (side, side):
            return Placement((1.0, 1.0), (0, 0), side)
        return self._placement((height, width), shorter_side(height, width, self.resize))

    def _placement(self, old: Sequence[int], new: Sequence[int]) -> Placement:
        """Of a picture resized from `old` to `new`, both (H, W), whose centre is cropped."""
        factors, corner = (new[0] / old[0], new[1] / old[1]), [centre_corner(length, self.image_size) for length in new]
        return Placement(factors, (corner[0], corner[1]), self.image_size)

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


def shorter_side(height: int, width: int, length: int) -> tuple[int, int]:
    """(H, W) of a picture whose shorter side is resized to `length`, as torchvision rounds."""
    shorter = min(height, width)
    return (length, int(length * width / shorter)) if height <= width else (int(length * height / shorter), length)


PICTURES_ONLY = ("lanczos", "hamming", "box")  # filters that torch has not for tensors
TIMM_FILTERS = ("bicubic", "bilinear", "nearest", *PICTURES_ONLY)
CROP_MODES = ("center", "squash", "border")


class TimmPreprocessing(Preprocessing):
    """What timm's evaluation does: unlike `Preprocessing`, pictures that have the size already are resized and cropped, too.

    Args:
        image_size: side of the square given to the backbone, in pixels.
        crop_pct: image_size as a share of the side before cropping.
        crop_mode: "center": the shorter side is resized, the centre cropped; "squash": both sides are resized, whatever the
            shape; "border": the longer side is resized, and the rest filled with the mean.
        interpolation: "bicubic" | "bilinear" | "nearest" | "lanczos" | "hamming" | "box".
        mean, std: per channel, for values in [0, 1].
    Raises:
        UserError: for values that cannot be.
    """

    def __init__(
        self,
        image_size: int,
        crop_pct: float = 0.875,
        crop_mode: str = "center",
        interpolation: str = "bicubic",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        require_count("image_size", image_size)
        self.crop_pct = require_number("crop_pct", crop_pct, 0.01, 100)
        for name, value, allowed in (
            ("crop_mode", crop_mode, CROP_MODES),
            ("interpolation", interpolation, TIMM_FILTERS),
        ):
            if value not in allowed:
                raise UserError(f"{name}={value} is unknown: use one of {', '.join(allowed)}")
        resize = math.floor(image_size / crop_pct)
        super().__init__(image_size, max(resize, image_size), "bicubic", mean, std)
        self.resize, self.crop_mode = resize, crop_mode  # crop_pct > 1 makes a border
        self.interpolation = InterpolationMode(interpolation)

    def __call__(self, picture: Image.Image | Tensor) -> Tensor:
        """Picture (PIL, or (3, H, W) in [0, 1]) → (3, image_size, image_size), normalised."""
        either: Any = picture  # torchvision takes both and says Tensor
        if isinstance(either, Tensor) and (self.crop_mode == "border" or self.interpolation.value in PICTURES_ONLY):
            either = F.to_pil_image(either)
        resized = F.resize(either, self._size(*F.get_image_size(either)), self.interpolation, antialias=True)
        return self.normalised(self._cropped(resized))

    def __str__(self) -> str:
        """What is done, in one line."""
        first = {
            "center": f"shorter side to {self.resize} pixels",
            "squash": f"both sides to {self.resize} pixels",
            "border": f"longer side to {self.resize} pixels, a border around it",
        }[self.crop_mode]
        numbers = (" ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"{first} ({self.interpolation.value}), centre {self.image_size}², mean {next(numbers)}, std {next(numbers)}"

    def placement(self, height: int, width: int) -> Placement:
        size = self._size(width, height)
        new = shorter_side(height, width, size[0]) if len(size) == 1 else size
        return self._placement((height, width), new)

    def _size(self, width: int, height: int) -> list[int]:
        """(H, W) to which a picture is resized, or the length of its shorter side alone."""
        if self.crop_mode == "center":
            return [self.resize]
        if self.crop_mode == "squash":
            return [self.resize, self.resize]
        ratio = max(height, width) / self.resize
        return [round(height / ratio), round(width / ratio)]

    def _cropped(self, picture: Any) -> Any:
        """The centre; in "border" mode with the mean colour where the picture is smaller."""
        side = self.image_size
        if self.crop_mode == "border":
            width, height = F.get_image_size(picture)
            missing, lower = max(side - width, 0), max(side - height, 0)
            colour: Any = tuple(round(255 * value) for value in self.mean)
            picture = F.pad(picture, [missing // 2, lower // 2, (missing + 1) // 2, (lower + 1) // 2], fill=colour)
        return F.center_crop(picture, [side, side])


def timm_settings(pretrained_cfg: Mapping[str, Any], image_size: int | None = None) -> dict[str, Any]:
    """Arguments of `TimmPreprocessing` for a model with this configuration.

    Args:
        pretrained_cfg: of a timm model.
        image_size: None: the one it was trained with.
    """
    from timm.data import resolve_data_config

    data = resolve_data_config({}, pretrained_cfg=dict(pretrained_cfg))
    return {
        "image_size": data["input_size"][-1] if image_size is None else image_size,
        "crop_pct": data["crop_pct"],
        "crop_mode": data["crop_mode"],
        "interpolation": data["interpolation"],
        "mean": list(data["mean"]),
        "std": list(data["std"]),
    }
