"""Pointing: by hand, and the pictures it is measured on."""

import torch

from cdam_bench.datasets import Preprocessing
from cdam_bench.explaining.pointing import example_images, points_at, scenes_with

PREPROCESSING = Preprocessing(64, mean=[0.5] * 3, std=[0.25] * 3)


def test_a_map_points_at_the_box_with_the_larger_sum():
    maps = torch.zeros(3, 8, 8)
    maps[0, 1, 1], maps[1, 6, 6], maps[2, 1, 1] = 1.0, 1.0, -1.0
    boxes = torch.tensor([[[0, 0, 3, 3], [5, 5, 8, 8]]]).expand(3, -1, -1)
    assert points_at(maps, boxes).tolist() == [True, False, False]


def test_scenes_show_the_digit_in_their_first_box():
    images, boxes = scenes_with(PREPROCESSING, 3, 2, seed=0)
    assert images.shape == (2, 3, 64, 64)
    assert boxes.shape == (2, 2, 4)
    assert len(example_images(PREPROCESSING, 3, 2, seed=0)) == 2
