"""Pictures as users have them: the same one in every form gives the same values, and what may mean two things is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from cdam_bench.datasets.pictures import to_rgb
from cdam_bench.errors import UserError
from cdam_bench.explaining.given import as_picture

HEIGHT, WIDTH = 6, 9


def levels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


COLOUR, GREY = levels(HEIGHT, WIDTH, 3), levels(HEIGHT, WIDTH)
FLOATS = COLOUR / 255


def values(picture):
    """What a picture is, as floats (3, H, W)."""
    if isinstance(picture, Image.Image):
        assert picture.mode == "RGB"
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255
    assert picture.dtype == torch.float32
    return picture


def channels_first(array):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 0)))


SAME = {
    "PIL": Image.fromarray(COLOUR),
    "uint8 (H, W, 3)": COLOUR,
    "float64 (H, W, 3)": FLOATS,
    "float32 (H, W, 3)": FLOATS.astype(np.float32),
    "float32 not contiguous": FLOATS.astype(np.float32)[::-1][::-1],
    "big-endian floats": FLOATS.astype(">f8"),
    "uint8 (3, H, W)": np.moveaxis(COLOUR, -1, 0),
    "uint8 tensor (3, H, W)": channels_first(COLOUR),
    "uint8 tensor (H, W, 3)": torch.from_numpy(COLOUR),
    "tensor (3, H, W)": channels_first(FLOATS),
    "tensor (1, 3, H, W)": channels_first(FLOATS)[None],
    "tensor (H, W, 3)": torch.from_numpy(FLOATS),
    "array (1, H, W, 3)": FLOATS[None],
    "tensor with a gradient": channels_first(FLOATS).requires_grad_(),
    "opaque uint8 (H, W, 4)": np.dstack([COLOUR, np.full((HEIGHT, WIDTH, 1), 255, np.uint8)]),
    "opaque floats (H, W, 4)": np.dstack([FLOATS, np.ones((HEIGHT, WIDTH, 1))]),
    "rounded out of 0…1": FLOATS + 1e-6 * np.isclose(FLOATS, FLOATS.max()),
}


@pytest.mark.parametrize("form", SAME)
def test_a_picture_is_the_same_in_every_form(form):
    expected = torch.from_numpy(FLOATS).permute(2, 0, 1).float()
    torch.testing.assert_close(values(as_picture(SAME[form])), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "grey",
    [
        GREY,
        GREY / 255,
        GREY[..., None],
        torch.from_numpy(GREY),
        torch.from_numpy(GREY / 255)[None],
        torch.from_numpy(GREY)[None, None],
        Image.fromarray(GREY),
        Image.fromarray((GREY / 255).astype(np.float32)),
    ],
    ids=["uint8", "floats", "(H, W, 1)", "tensor", "(1, H, W)", "(1, 1, H, W)", "PIL L", "PIL F"],
)
def test_a_grey_picture_has_three_equal_channels(grey):
    expected = torch.from_numpy(GREY / 255).float().expand(3, -1, -1)
    torch.testing.assert_close(values(as_picture(grey)), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB", "I", "I;16"]
)
def test_every_mode_of_pil_becomes_rgb_as_from_a_file(mode):
    if mode in ("I", "I;16"):
        picture = Image.fromarray(np.arange(54, dtype=np.int32 if mode == "I" else np.uint16).reshape(6, 9))
    else:
        source = Image.fromarray(COLOUR, "LAB" if mode == "LAB" else None)
        picture = source.convert("P").convert("PA") if mode == "PA" else source.convert(mode)
    np.testing.assert_array_equal(np.array(as_picture(picture)), np.array(to_rgb(picture)))


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_transparent_parts_are_white(kind):
    picture = np.zeros((HEIGHT, WIDTH, 4), kind)
    picture[0, 0, 3] = 255 if kind is np.uint8 else 1
    found = values(as_picture(picture))
    assert found[:, 0, 0].tolist() == [0, 0, 0]
    assert found[:, 1:].min() == 1


def test_a_pil_picture_is_turned_upright(tmp_path):
    picture = Image.fromarray(COLOUR)
    exif = picture.getexif()
    exif[0x0112] = 6  # a camera held upright
    picture.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as opened:
        np.testing.assert_array_equal(np.array(as_picture(opened)), np.rot90(COLOUR, -1))


NORMALISED = (torch.from_numpy(FLOATS).permute(2, 0, 1) - 0.45) / 0.22
REFUSED = {
    "normalised already": (
        NORMALISED,
        r"floats from -2\.\d+ to 2\.\d+, they look normalised already: pass 8-bit values",
    ),
    "0…255 floats": (COLOUR.astype(np.float32), r"floats from \d to 2\d\d, they look like 8-bit values: pass 8-bit"),
    "PIL F of 0…255": (Image.fromarray(GREY.astype(np.float32)), "look like 8-bit values"),
    "huge floats": (FLOATS * 1e6, "too large"),
    "NaN": (np.where(np.isclose(FLOATS, FLOATS.max()), np.nan, FLOATS), r"\d+ NaN or infinite values"),
    "infinite": (torch.full((3, 4, 5), float("inf")), "60 NaN or infinite values"),
    "int64": (COLOUR.astype(np.int64), "whole numbers of type int64: if they are 0…255, pass them as uint8"),
    "int32 tensor": (channels_first(COLOUR).int(), "whole numbers of type int32"),
    "uint16": (GREY.astype(np.uint16), "divide them by 65535"),
    "bool": (GREY > 100, "type bool"),
    "complex": (torch.zeros(3, 4, 4, dtype=torch.complex64), "complex64"),
    "words": (np.array([["a", "b"]]), "array of <U1"),
    "several": (torch.zeros(2, 3, 8, 8), r"\(2, 3, 8, 8\) is a batch of 2: explain one picture at a time"),
    "list": ([COLOUR, COLOUR], "list of 2: explain one picture at a time"),
    "two channels": (np.zeros((8, 8, 2)), r"\(8, 8, 2\): the first or the last axis should be the 3 channels"),
    "channels first or last": (np.zeros((3, 8, 3)), r"\(3, 8, 3\): the channels may be the first axis or the last"),
    "one axis": (np.zeros(8), "expected"),
    "five axes": (np.zeros((1, 1, 3, 8, 8)), "expected"),
    "nothing in it": (np.zeros((0, 8, 3)), "no pixels"),
    "None": (None, "type NoneType: pass a file, a PIL picture"),
    "bytes": (b"\x89PNG", "type bytes: pass a file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_may_be_something_else_is_refused_with_what_to_pass(case):
    given, message = REFUSED[case]
    with pytest.raises(UserError, match=message):
        as_picture(given)


def test_a_pil_picture_whose_file_is_cut_short_is_told(tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(levels(64, 64, 3)).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with Image.open(path) as picture, pytest.raises(UserError, match="cannot be read"):
        as_picture(picture)


def test_the_users_array_is_left_as_it_is():
    before = FLOATS.astype(np.float32)
    given = before.copy()
    as_picture(given).mul_(0)
    np.testing.assert_array_equal(given, before)
