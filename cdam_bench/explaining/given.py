"""A picture as users have it, in memory: what is plain is taken, what may mean two things is refused in one line."""

from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from cdam_bench.datasets.pictures import BROKEN, to_rgb
from cdam_bench.errors import UserError, require

CHANNELS = (1, 3, 4)  # grey, red-green-blue, with transparency
ROUNDING = 1e-4  # floats may leave 0…1 by this much
PASS = "pass 8-bit values (uint8), or floats in 0…1 that are not normalised yet"
KINDS = "a file, a PIL picture, a NumPy array (H, W) or (H, W, 3), or a tensor (3, H, W)"


def as_picture(given: Any) -> Image.Image | Tensor:
    """A picture in memory as one that `Preprocessing` takes.

    Args:
        given: a PIL picture of any mode; or a NumPy array or tensor with 8-bit values or floats in 0…1: (H, W), or with 1, 3 or 4
            channels first or last, and perhaps a batch axis of one before them.
    Returns:
        PIL, 8-bit RGB, of PIL pictures and 8-bit values; (3, H, W) float32 in [0, 1] of floats. Transparent parts become white.
    Raises:
        UserError: for other things, and for shapes and values that may mean several things.
    """
    if isinstance(given, Image.Image):
        return _of_pil(given)
    if isinstance(given, list | tuple):
        raise UserError(f"image is a {type(given).__name__} of {len(given)}: explain one picture at a time")
    require(isinstance(given, np.ndarray | Tensor), f"image is of type {type(given).__name__}: pass {KINDS}")
    tensor = _as_tensor(given)
    values = _channels_last(tensor)  # (H, W), or (H, W, 1 | 3 | 4)
    if values.dtype == torch.uint8:
        return to_rgb(Image.fromarray(values.contiguous().numpy()))
    return _of_floats(values)


def _of_pil(picture: Image.Image) -> Image.Image | Tensor:
    require(min(picture.size) > 0, "image is a PIL picture without pixels")
    try:
        if picture.mode == "F":  # floats, which PIL would take for 0…255
            return _of_floats(torch.from_numpy(np.array(picture)))
        return to_rgb(ImageOps.exif_transpose(picture))
    except BROKEN as error:  # PIL reads a file when its pixels are wanted
        raise UserError(f"image is a PIL picture that cannot be read ({error}): open it again") from error


def _as_tensor(given: np.ndarray | Tensor) -> Tensor:
    """The values on the CPU, uint8 or float32.

    Raises:
        UserError: for values of another kind.
    """
    if isinstance(given, np.ndarray):
        numbers = given.dtype.kind in "biuf"
        require(numbers, f"image is an array of {given.dtype}: {PASS}")
        if given.dtype != np.uint8:
            require(given.dtype.kind == "f", _wrong_whole_numbers(str(given.dtype)))
            given = given.astype(np.float32)
        return torch.from_numpy(np.array(given))  # a copy: the user's may be read-only
    given = given.detach().cpu()
    if given.dtype == torch.uint8:
        return given
    require(not given.is_complex(), f"image is a tensor of {given.dtype}: {PASS}")
    require(given.is_floating_point(), _wrong_whole_numbers(str(given.dtype).removeprefix("torch.")))
    return given.float()


def _wrong_whole_numbers(kind: str) -> str:
    if kind == "bool":
        return f"image has values of type bool: {PASS}"
    if kind == "uint16":
        return "image has 16-bit values (uint16): divide them by 65535 and pass floats in 0…1"
    return f"image has whole numbers of type {kind}: if they are 0…255, pass them as uint8"


def _channels_last(values: Tensor) -> Tensor:
    """Values as (H, W) or (H, W, channels), whichever way they came.

    Raises:
        UserError: for shapes that are no picture, or that could be read in two ways.
    """
    shape = tuple(values.shape)
    if values.ndim == 4:
        require(shape[0] == 1, f"image of shape {shape} is a batch of {shape[0]}: explain one picture at a time")
        values = values[0]
    require(values.ndim in (2, 3), f"image of shape {shape}: expected (H, W), (H, W, 3), (3, H, W) or (1, 3, H, W)")
    require(values.numel() > 0, f"image of shape {shape} has no pixels")
    if values.ndim == 2:
        return values
    first, last = values.shape[0] in CHANNELS, values.shape[-1] in CHANNELS
    require(first or last, f"image of shape {shape}: the first or the last axis should be the 3 channels")
    require(
        not (first and last),
        f"image of shape {shape}: the channels may be the first axis or the last; pass a PIL picture instead",
    )
    values = values.permute(1, 2, 0) if first else values
    return values[..., 0] if values.shape[-1] == 1 else values


def _of_floats(values: Tensor) -> Tensor:
    """Floats (H, W) or (H, W, 3 | 4) in 0…1 → (3, H, W).

    Raises:
        UserError: for values out of 0…1, saying what they look like.
    """
    unknown = int((~values.isfinite()).sum())
    require(unknown == 0, f"image has {unknown} NaN or infinite values: {PASS}")
    low, high = float(values.min()), float(values.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        looks = "they look normalised already" if low < 0 else "they look like 8-bit values"
        raise UserError(
            f"image has floats from {low:.3g} to {high:.3g}, {looks if high <= 256 else 'too large'}: {PASS}"
        )
    values = values.float().clamp(0, 1)
    if values.ndim == 2:
        return values.expand(3, *values.shape).contiguous()
    if values.shape[-1] == 4:  # transparent parts become white, as in files
        opaque = values[..., 3:]
        values = values[..., :3] * opaque + (1 - opaque)
    return values.permute(2, 0, 1).contiguous()
