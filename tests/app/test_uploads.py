"""Uploads: refused in one line before they are decoded, and never left on the disk."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from cdam_bench.app.settings import Settings
from cdam_bench.app.uploads import Upload, checked, taken
from cdam_bench.errors import UserError
from tests.app.conftest import png, sent

SETTINGS = Settings(max_mb=0.05, max_megapixels=0.25)


def header_of_a_png(width, height):
    """The beginning of a PNG file that claims a size, and nothing behind it: decoding it would fail."""
    content = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + content + struct.pack(">I", zlib.crc32(content))
    return start + struct.pack(">I", 9) + b"IDAT"


def test_a_picture_is_taken_and_its_file_is_gone(tmp_path):
    upload = taken(sent(tmp_path, "my cat.png", png((5, 4))), tmp_path, SETTINGS)
    assert upload.name == "my cat"
    assert upload.picture().size == (5, 4)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"hello", "is not a picture"),
        (b"", "is not a picture"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
            "is not a picture",
        ),  # would start a program
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "is not a picture"),
        (header_of_a_png(600, 600), "too large (600 × 600 pixels)"),
        (header_of_a_png(30_000, 30_000), "too large"),
        (b"x" * 60_000, "too large (0.1 MB)"),
    ],
    ids=["text", "nothing", "postscript", "svg", "pixels", "bomb", "bytes"],
)
def test_what_is_no_picture_or_too_large_is_refused_in_one_line_and_gone(content, told, tmp_path):
    with pytest.raises(UserError) as refusal:
        taken(sent(tmp_path, "it.png", content), tmp_path, SETTINGS)
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)
    if "large" in told:
        assert "at most 0.05 MB and 0.25 megapixels" in str(refusal.value)
    assert list(tmp_path.rglob("*")) == []


def test_a_path_that_the_server_did_not_write_is_neither_read_nor_deleted(tmp_path):
    outside = sent(tmp_path, "secret.png", png())
    (tmp_path / "received").mkdir()
    for path in (outside, tmp_path / "received" / ".." / outside.parent.name / outside.name):
        with pytest.raises(UserError, match="did not arrive"):
            taken(path, tmp_path / "received", SETTINGS)
    assert outside.read_bytes() == png()


def test_a_damaged_picture_is_told_in_one_line():
    with pytest.raises(UserError, match="cut short"):
        checked("half.png", png((90, 90))[:-40], SETTINGS).picture()


def test_a_name_keeps_nothing_that_means_something_to_a_page_or_a_disk():
    assert checked("../a<script>'.png", png(), SETTINGS).name == "a_script_"
    assert checked(".png", png(), SETTINGS).name


def test_a_photograph_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # as phones do: to be turned by 90°
    upload = Upload("turned", png((8, 4), format="JPEG", exif=exif))
    assert upload.picture().size == (4, 8)


def test_transparent_parts_become_white():
    buffer = BytesIO()
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(buffer, "PNG")
    np.testing.assert_array_equal(np.asarray(Upload("clear", buffer.getvalue()).picture()), 255)
