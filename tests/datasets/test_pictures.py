"""Pictures of every kind become upright RGB; broken ones are reported by name."""

import numpy as np
import pytest
from PIL import Image

from cdam_bench.datasets.pictures import PictureFile, check_pictures, read_picture
from cdam_bench.errors import UserError
from tests.datasets.photographs import REAL, drawn


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "jpg"), ("CMYK", "jpg"), ("P", "png"), ("1", "png"), ("RGBA", "png")]
)
def test_any_mode_becomes_rgb_that_looks_the_same(tmp_path, mode, suffix):
    drawn(mode=mode).save(tmp_path / f"picture.{suffix}")
    picture = read_picture(PictureFile(tmp_path / f"picture.{suffix}"))
    assert picture.mode == "RGB"
    left, right = np.asarray(picture.convert("L"))[30:].reshape(30, 2, 40).mean((0, 2))
    assert left < 128 < right


def test_transparent_parts_become_white(tmp_path):
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert read_picture(PictureFile(tmp_path / "clear.png")).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bit_grey_keeps_its_contrast(tmp_path):
    Image.fromarray(np.array([[0, 20000], [40000, 60000]], dtype=np.uint16)).save(tmp_path / "deep.png")
    values = np.asarray(read_picture(PictureFile(tmp_path / "deep.png")))[..., 0].flatten()
    assert values.tolist() == [0, 85, 170, 255]


@pytest.mark.parametrize(
    ("orientation", "corner"), [(1, "top left"), (3, "bottom right"), (6, "top right"), (8, "bottom left")]
)
def test_exif_rotation_is_applied(tmp_path, orientation, corner):
    exif = Image.Exif()
    exif[0x0112] = orientation
    drawn().save(tmp_path / "turned.jpg", exif=exif, quality=95)
    picture = np.asarray(read_picture(PictureFile(tmp_path / "turned.jpg"))).astype(int)
    red = (picture[..., 0] - picture[..., 1]) > 150
    y, x = np.argwhere(red).mean(0) / red.shape
    assert corner == f"{'top' if y < 0.5 else 'bottom'} {'left' if x < 0.5 else 'right'}"


def test_broken_files_are_listed_with_the_reason(tmp_path):
    drawn((300, 200)).save(tmp_path / "good.jpg")
    drawn((300, 200)).save(tmp_path / "cut.jpg", quality=95)
    content = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    files = [PictureFile(tmp_path / f"{name}.jpg") for name in ("good", "cut", "text", "empty", "gone")]
    with pytest.raises(UserError, match=r"^4 of 5 images cannot be read: ") as caught:
        check_pictures(files)
    for expected in (r"cut.jpg (", "text.jpg (not a picture)", "empty.jpg (not a picture)", "gone.jpg (missing)"):
        assert expected in str(caught.value)
    with pytest.raises(UserError, match=r"image .*cut\.jpg cannot be read"):
        read_picture(files[1])


@pytest.mark.skipif(not REAL.is_dir(), reason="no photographs at hand")
def test_real_photographs_are_read():
    files = [PictureFile(path) for path in sorted(REAL.rglob("*.JPEG"))]
    check_pictures(files)
    assert {read_picture(file).mode for file in files} == {"RGB"}
