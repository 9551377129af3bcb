"""RISE against a loop over its masks."""

import pytest
import torch

from cdam_bench.errors import UserError
from cdam_bench.estimators import RISE
from tests.agreement import assert_agree
from tests.conftest import IMAGE_SIZE
from tests.reference.masking import rise
from tests.reference.model import for_each


@pytest.mark.parametrize("settings", [{"cells": 3}, {"cells": 5, "probability": 0.3, "baseline": 0.5}])
def test_rise_equals_a_loop_over_its_masks(any_backbone, any_textbook, images, targets, seeds, settings):
    estimator = RISE(num_passes=40, internal_batch_size=16, **settings)
    drawn = [estimator.masks(IMAGE_SIZE, int(seed)) for seed in seeds]
    baseline = settings.get("baseline", 0.0)

    def expected(model, image, target, masks):
        return rise(model, image, target, *masks, baseline)

    actual = estimator.attribute(any_backbone, images, targets, seeds)
    assert_agree(actual, for_each(expected, any_textbook, images, targets, drawn))


def test_cells_are_shown_with_the_probability_asked_for_and_shifted_by_less_than_a_cell():
    shown, shifts = RISE(num_passes=2000, cells=7, probability=0.3).masks((224, 448), seed=0)
    assert abs(shown.mean() - 0.3) < 0.01
    assert shifts.amin(0).tolist() == [0, 0]
    assert shifts.amax(0).tolist() == [31, 63]


def test_rise_finds_the_only_patch_that_counts(backbone, monkeypatch):
    """An output that is the mean of one square of the image: there the map is at its highest."""
    monkeypatch.setattr(type(backbone), "forward", lambda _self, x: x[:, :1, 8:16, 24:32].mean((2, 3)).expand(-1, 7))
    maps = RISE(num_passes=500, cells=6).attribute(backbone, torch.ones(1, 3, *IMAGE_SIZE), torch.tensor([0]))[0]
    row, column = divmod(int(maps.argmax()), IMAGE_SIZE[1])
    assert 8 <= row < 16
    assert 24 <= column < 32
    assert maps[24:, :8].abs().mean() < 0.2 * maps.max()


@pytest.mark.parametrize(
    ("settings", "key"),
    [({"num_passes": 0}, "num_passes=0"), ({"cells": 0}, "cells=0"), ({"probability": 1.0}, "probability=1.0")],
)
def test_numbers_that_cannot_be_are_refused(settings, key):
    with pytest.raises(UserError, match=key):
        RISE(**settings)
