"""Picture files: found, checked before a run starts, and read as upright RGB whatever they are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from cdam_bench.errors import UserError, require

SUFFIXES = frozenset({".jpeg", ".jpg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
MAX_NAMES_SHOWN = 10
BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)  # PIL's, for damaged files


def is_picture(path: Path) -> bool:
    """Whether a file name looks like a picture's (hidden files do not)."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


@dataclass(frozen=True)
class PictureFile:
    """A picture on the disk, or inside an uncompressed archive.

    Args:
        path: of the file, or of the archive.
        member, offset, size: name in the archive, and where its bytes are; None: the whole file is the picture.
    """

    path: Path
    member: str | None = None
    offset: int = 0
    size: int = -1

    def open(self) -> BinaryIO:
        """Its bytes, to be read."""
        if self.member is None:
            return self.path.open("rb")
        with self.path.open("rb") as archive:
            archive.seek(self.offset)
            return BytesIO(archive.read(self.size))

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.member} in {self.path}"


def read_picture(file: PictureFile) -> Image.Image:
    """A picture → 8-bit RGB, turned upright by its EXIF tag; transparent parts become white.

    Raises:
        UserError: naming the file, if it is missing, truncated or no picture.
    """
    try:
        with file.open() as content, Image.open(content) as picture:
            return to_rgb(ImageOps.exif_transpose(picture))
    except BROKEN as error:
        raise UserError(f"image {file} cannot be read ({_reason(error)}): copy it again or leave it out") from error


def to_rgb(picture: Image.Image) -> Image.Image:
    """Grey, 16-bit, palette, CMYK or transparent pictures as 8-bit RGB."""
    if picture.mode.startswith("I"):  # 16 bits per pixel, which PIL would clip at 255
        levels = np.asarray(picture).astype(np.float64)
        picture = Image.fromarray((levels / max(levels.max(), 1) * 255).round().astype(np.uint8))
    if picture.has_transparency_data:
        coloured = picture.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return picture.convert("RGB")


def check_pictures(files: Sequence[PictureFile]) -> None:
    """Raise UserError with the list of those pictures that are missing, truncated or none.

    Each is decoded once, JPEGs at an eighth of their size: about 3 ms per ImageNet photograph.
    """
    problems = []
    for file in tqdm(files, desc="checking images", unit="image", leave=False, delay=2):
        try:
            with file.open() as content, Image.open(content) as picture:
                picture.draft("RGB", (1, 1))
                picture.load()
        except BROKEN as error:
            problems.append(f"{file} ({_reason(error)})")
    require(
        not problems,
        f"{len(problems)} of {len(files)} images cannot be read: {some(problems)}; copy them again or leave them out",
    )


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "missing"
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    return (str(error).splitlines() or [type(error).__name__])[0]


def some(names: Iterable[object], shown: int = MAX_NAMES_SHOWN) -> str:
    """A list of names, cut when it is long."""
    names = [str(name) for name in names]
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
