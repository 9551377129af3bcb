"""One picture as a backbone takes it: read, resized, cropped to whole patches, normalised."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torchvision.transforms import functional as F

from cdam_bench.backbones import Backbone
from cdam_bench.backbones.files import is_address
from cdam_bench.backbones.preprocessing import PICTURES_ONLY
from cdam_bench.datasets import Preprocessing
from cdam_bench.datasets.pictures import PictureFile, read_picture
from cdam_bench.errors import UserError, require
from cdam_bench.explaining.given import as_picture

MAX_PATCHES = 20_000  # attention grows with their square
NATIVE = "native"


@dataclass(frozen=True)
class Prepared:
    """A picture ready for a backbone.

    Args:
        name: of the picture.
        image: (3, H, W), normalised.
        pixels: (H, W, 3) in [0, 1].
        backbone: for images of that size.
        backbone_name: for showing.
        notes: what was done to the picture.
    """

    name: str
    image: Tensor
    pixels: np.ndarray
    backbone: Backbone
    backbone_name: str
    notes: list[str]


def prepare(
    image: str | Path | Image.Image | np.ndarray | Tensor,
    backbone: Backbone,
    preprocessing: Preprocessing,
    image_size: int | str | None = None,
    backbone_name: str | None = None,
) -> Prepared:
    """Read, resize, crop and normalise a picture.

    Args:
        image: a file; or a picture in memory, see `given.as_picture`.
        backbone: that will explain it.
        preprocessing: the backbone's.
        image_size: side in pixels, cropped to a multiple of the patch size; "native": the picture's own size and shape, cropped
            likewise; None: the backbone's, as in the benchmark.
        backbone_name: for showing; None: its shape in words.
    Raises:
        UserError: for pictures and sizes that cannot be.
    """
    name = "picture"
    picture: Image.Image | Tensor
    if isinstance(image, str | Path):
        require(not is_address(image), f"image {image} is an address: download the picture, and give its path")
        require(not Path(image).is_dir(), f"image {image} is a folder: explain one picture at a time")
        name, picture = Path(image).stem, read_picture(PictureFile(Path(image)))
    else:
        picture = as_picture(image)
    require(
        all(hasattr(preprocessing, part) for part in ("normalised", "to_pixels", "interpolation")),
        f"preprocessing is a {type(preprocessing).__name__}: pass cdam_bench.datasets.Preprocessing(image_size, mean=…, std=…)",
    )
    notes: list[str] = []
    if image_size is None:
        tensor = preprocessing(picture)
    else:
        picture, notes = _resized(picture, image_size, backbone.patch_size, preprocessing)
        tensor = preprocessing.normalised(picture)
    height, width = tensor.shape[-2:]
    patches = (height // backbone.patch_size) * (width // backbone.patch_size)
    require(
        patches <= MAX_PATCHES,
        f"{name} is {height}×{width}: {patches} patches are too many; set image_size to a smaller side, as "
        f"{int(MAX_PATCHES**0.5) * backbone.patch_size}",
    )
    pixels = preprocessing.to_pixels(tensor).permute(1, 2, 0).numpy()
    shown = backbone_in_words(backbone) if backbone_name is None else backbone_name
    return Prepared(name, tensor, pixels, backbone.with_image_size((height, width)), shown, notes)


def _resized(picture: Any, image_size: int | str, patch: int, preprocessing: Preprocessing) -> tuple[Any, list[str]]:
    """The picture at that size, cropped to whole patches around its centre, and a note if that took something away."""
    if image_size != NATIVE:
        try:
            side = int(image_size)
        except (TypeError, ValueError, OverflowError):
            raise UserError(f"image_size={image_size}: give a number of pixels, or native") from None
        require(side >= patch, f"image_size={image_size}: must be at least one patch of {patch} pixels")
        # before resizing, which would take the memory
        require(
            (side // patch) ** 2 <= MAX_PATCHES,
            f"image_size={image_size}: {(side // patch) ** 2} patches are too many; use at most {int(MAX_PATCHES**0.5) * patch}",
        )
        if isinstance(picture, Tensor) and preprocessing.interpolation.value in PICTURES_ONLY:
            picture = F.to_pil_image(picture)
        picture = F.resize(picture, [side], preprocessing.interpolation, antialias=True)
        width = height = side
    else:
        width, height = F.get_image_size(picture)
    fitted = (height // patch * patch, width // patch * patch)
    require(min(fitted) > 0, f"a picture of {height}×{width} pixels is smaller than one patch of {patch}")
    note = f"cropped from {height}×{width} to {fitted[0]}×{fitted[1]}: the patch size is {patch}"
    return F.center_crop(picture, list(fitted)), [note] if fitted != (height, width) else []


def backbone_in_words(backbone: Backbone) -> str:
    """What a backbone without a name is called."""
    model = backbone.model
    if isinstance(model, VisionTransformer):
        return f"a ViT of {len(model.blocks)} blocks, width {backbone.embed_dim}, patch {backbone.patch_size}"
    return f"{type(model).__name__}, width {backbone.embed_dim}, patch {backbone.patch_size}"
