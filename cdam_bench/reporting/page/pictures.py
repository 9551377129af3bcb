"""Pictures of the page as data URIs: photographs as JPEG, maps as PNG with a palette."""

import base64
import io
from dataclasses import dataclass, field

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from cdam_bench.drawing.maps import OUTLINE_COLOUR, Palette, shares
from cdam_bench.reporting.page.plain import Plain

PICTURE, MAP, THUMBNAIL = 224, 96, 48  # longest sides in pixels
QUALITY, THUMBNAIL_QUALITY = 80, 65
LEVELS = 64  # colours of a map


@dataclass
class Pictures:
    """What a comparison shows of its images.

    Args:
        gallery: chosen images with maps; None where there are none.
        thumbnails: name of an image → a small picture of it.
        problems: a line for everything that could not be shown.
    """

    gallery: Plain | None = None
    thumbnails: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def jpeg(pixels: np.ndarray, longest: int, quality: int = QUALITY) -> str:
    """A picture (H, W, 3) in [0, 1], made smaller if it is larger than `longest` pixels."""
    picture = Image.fromarray((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8))
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
    return _uri("jpeg", buffer)


def map_png(scores: np.ndarray, palette: Palette, block: int) -> str:
    """A map (H, W) in its colours, scaled by its own largest magnitude; at most 96 pixels wide and high.

    Args:
        scores: the map.
        palette: of its kind.
        block: side of the backbone's patches in pixels: a map with one value per patch gets one pixel per patch.
    """
    share = np.clip(shares(_smaller(scores, block)), palette.low, 1)
    levels = np.round((share - palette.low) / (1 - palette.low) * (LEVELS - 1)).astype(np.uint8)
    return _png(_paletted(levels, palette))


def scale_png(palette: Palette) -> str:
    """The colours of a kind of map from the smallest value to the largest: one pixel high."""
    return _png(_paletted(np.arange(LEVELS, dtype=np.uint8)[None], palette))


def outline_png(mask: np.ndarray) -> str:
    """The edge of a mask (H, W) on a transparent ground."""
    inside = np.pad(mask.astype(bool), 1, mode="edge")
    core = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    colour = (np.array(to_rgb(OUTLINE_COLOUR)) * 255).round()
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[mask.astype(bool) & ~core] = (*colour, 255)
    return _png(Image.fromarray(pixels))


def _smaller(scores: np.ndarray, block: int) -> np.ndarray:
    """A map at one value per block, where blocks are even; others averaged over equal squares down to 96 pixels."""
    height, width = scores.shape
    if height % block == width % block == 0:
        blocks = scores.reshape(height // block, block, width // block, block)
        if np.array_equal(blocks, np.broadcast_to(blocks[:, :1, :, :1], blocks.shape)):
            return blocks[:, 0, :, 0]
    factor = -(-max(height, width) // MAP)
    rows, columns = height // factor, width // factor
    return scores[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor).mean((1, 3))


def _paletted(levels: np.ndarray, palette: Palette) -> Image.Image:
    """Levels (H, W) from 0 for the smallest value to 63 for the largest → a picture in the palette's colours."""
    picture = Image.new("P", levels.shape[::-1])
    picture.putdata(levels.ravel().tolist())
    colours = palette.coloured(np.linspace(palette.low, 1, LEVELS)[None], 1.0)[0]
    picture.putpalette((colours * 255).round().astype(np.uint8).tobytes())
    return picture


def _png(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return _uri("png", buffer)


def _uri(kind: str, buffer: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
