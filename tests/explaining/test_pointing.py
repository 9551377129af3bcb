"""Pointing: by hand, and the pictures it is measured on."""

import numpy as np
import pytest
import torch
from scipy import stats

from cdam_bench.datasets import Preprocessing
from cdam_bench.explaining.pointing import differences_from_class, example_images, points_at, scenes_with

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


def test_concepts_are_compared_with_the_class_on_the_same_scenes_all_corrected_together():
    right = np.ones(14)
    wrong_on_nine = right - (np.arange(14) < 9)
    found = differences_from_class({"3": {"class": right, "dot": wrong_on_nine, "cosine": right}})
    assert [(one["digit"], one["concept"]) for one in found] == [("3", "dot"), ("3", "cosine")]
    assert found[0]["mean"] == pytest.approx(-9 / 14)
    assert found[0]["p_holm"] == pytest.approx(2 * stats.binomtest(0, 9).pvalue)
    assert found[1]["p_holm"] == 1
    assert found[1]["low"] < 0 < found[1]["high"]
