"""Pictures as visitors send them: looked at before they are decoded, refused in one line, and kept in memory alone."""

import re
import warnings
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

from cdam_bench.app.settings import Settings
from cdam_bench.datasets.pictures import BROKEN, to_rgb
from cdam_bench.errors import UserError, require

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # none of them starts another program or holds a script
LONGEST_NAME = 60
MEGA = 1e6


@dataclass(frozen=True)
class Upload:
    """A picture that a visitor sent, as its file's bytes.

    Args:
        name: of the file, without folder and extension.
        content: of the file.
        example: name of the packaged example that it is; "" for a visitor's own.
    """

    name: str
    content: bytes
    example: str = ""

    def picture(self) -> Image.Image:
        """Decoded: 8-bit RGB, upright.

        Raises:
            UserError: if it is damaged.
        """
        try:
            with warnings.catch_warnings(), Image.open(BytesIO(self.content), formats=FORMATS) as picture:
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `checked` has its own limit
                return to_rgb(ImageOps.exif_transpose(picture))
        except BROKEN as error:
            raise UserError(f"{self.name} cannot be read: it is damaged or cut short; try another copy") from error


def taken(path: str | Path, folder: str | Path, settings: Settings) -> Upload:
    """A file that the web server has received: read, and deleted at once whatever it is.

    Args:
        path: of the file.
        folder: the server's own, for what it receives: nothing elsewhere is read or deleted.
        settings: with the limits.
    Raises:
        UserError: for a path elsewhere, and as `checked`.
    """
    path, folder = Path(path).resolve(), Path(folder).resolve()
    require(path.is_relative_to(folder) and path.is_file(), "the picture did not arrive: send it again")
    try:
        size = path.stat().st_size
        require(size <= settings.max_mb * MEGA, _too_large(path.name, f"{size / MEGA:.1f} MB", settings))
        content = path.read_bytes()
    finally:
        path.unlink()
        if path.parent != folder:
            with suppress(OSError):  # another file of the same content is still there
                path.parent.rmdir()
    return checked(path.name, content, settings)


def checked(file_name: str, content: bytes, settings: Settings) -> Upload:
    """A picture's file, of which the head alone was read.

    Raises:
        UserError: for what is no picture, and for what is larger than allowed.
    """
    stem = re.sub(r"[^\w .()+-]+", "_", Path(file_name).stem).strip()[:LONGEST_NAME] or "picture"
    require(len(content) <= settings.max_mb * MEGA, _too_large(stem, f"{len(content) / MEGA:.1f} MB", settings))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(BytesIO(content), formats=FORMATS) as picture:
                width, height = picture.size
    except Image.DecompressionBombError as error:
        raise UserError(_too_large(stem, "far too many pixels", settings)) from error
    except BROKEN as error:
        raise UserError(f"{stem} is not a picture that can be read here: send {', '.join(FORMATS)}") from error
    size = f"{width} × {height} pixels"
    require(width * height <= settings.max_megapixels * MEGA, _too_large(stem, size, settings))
    require(width * height > 0, f"{stem} has no pixels")
    return Upload(stem, content)


def _too_large(name: str, what: str, settings: Settings) -> str:
    return f"{name} is too large ({what}): {settings.upload_limits} are taken; make it smaller and send it again"
