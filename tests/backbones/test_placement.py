"""A placement says where the pixels of a picture are in the image that its preprocessing makes."""

import pytest
import torch

from cdam_bench.backbones.hugging_face_preprocessing import HuggingFacePreprocessing
from cdam_bench.backbones.preprocessing import Preprocessing, TimmPreprocessing
from cdam_bench.errors import UserError

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def timm(image_size, crop_pct, crop_mode="center"):
    return TimmPreprocessing(image_size, crop_pct, crop_mode, "bilinear", **PLAIN)


def hugging_face(image_size, resize, crop):
    return HuggingFacePreprocessing(image_size, resize, crop, "bilinear", **PLAIN)


PREPROCESSINGS = {
    "same size": Preprocessing(64, 80, "bilinear", **PLAIN),
    "resize": Preprocessing(96, None, "bilinear", **PLAIN),
    "resize and crop": Preprocessing(112, 128, "bilinear", **PLAIN),
    "odd crop": Preprocessing(97, 120, "bilinear", **PLAIN),
    "timm": timm(112, 0.875),
    "timm of the same size": timm(64, 0.9),
    "timm with a border": timm(96, 1.5),
    "timm, squash": timm(112, 0.8, "squash"),
    "timm, border": timm(112, 0.9, "border"),
    "hugging face": hugging_face(112, 128, [112, 112]),
    "hugging face, both sides": hugging_face(98, [100, 100], None),
    "hugging face with a border": hugging_face(96, 80, [97, 97]),
    "hugging face, crop alone": hugging_face(40, None, [41, 41]),
}


@pytest.mark.parametrize("shape", [(64, 64), (64, 81), (90, 64)], ids=str)
@pytest.mark.parametrize("name", PREPROCESSINGS)
def test_a_bright_box_of_a_picture_is_found_where_its_placement_says(name, shape):
    preprocessing = PREPROCESSINGS[name]
    box = torch.tensor([[12, 25, 44, 60]])
    picture = torch.zeros(3, *shape)
    picture[:, 12:44, 25:60] = 1
    image = preprocessing(picture)[0]
    rows, columns = ((image.amax(axis) > 0.5).nonzero() for axis in (1, 0))
    found = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    placed = preprocessing.placement(*shape).boxes(box)
    assert placed.dtype == torch.long
    assert (placed[0] - torch.tensor(found)).abs().max() <= 1


def test_a_box_that_is_half_outside_is_clipped_and_one_outside_is_an_error():
    placement = Preprocessing(32, 64).placement(64, 64)  # the crop begins at 16
    assert placement.boxes(torch.tensor([[0, 20, 20, 64]])).tolist() == [[0, 4, 4, 32]]
    with pytest.raises(UserError, match="cuts an annotated object off: crop less"):
        placement.boxes(torch.tensor([[0, 20, 20, 64], [0, 20, 16, 64]]))
