"""Localisation by masks, by hand: maps on a 4 × 4 image."""

import torch

from cdam_bench.metrics import MaskLocalisation, Subject

MASK = torch.zeros(1, 4, 4, dtype=torch.bool)
MASK[0, 1:3, 1:3] = True  # the middle 2 × 2


def measured(maps, masks):
    nothing = torch.zeros(1, dtype=torch.long)
    subject = Subject(None, torch.zeros(1, 3, 4, 4), nothing, nothing, masks=masks)
    return MaskLocalisation().measure(subject, maps).scores


def test_every_target_is_measured_against_the_one_mask():
    maps = torch.zeros(1, 3, 4, 4)
    maps[0, 0, 1, 1], maps[0, 0, 0, 0] = 3.0, 1.0  # inside, and a little outside
    maps[0, 1, 3, 3], maps[0, 1, 2, 2] = 2.0, -9.0  # outside; counter-evidence inside counts for nothing
    maps[0, 2] = 1.0  # uniform
    scores = measured(maps, MASK)
    assert scores["mask_area"].tolist() == [4 / 16]
    assert scores["mask_pointing_game"].tolist() == [1.0]
    assert scores["mask_positive_share"].tolist() == [3 / 4]
    assert scores["other_mask_pointing_game"].tolist() == [0.0]
    assert scores["other_mask_positive_share"].tolist() == [0.0]
    assert scores["target3_mask_positive_share"].tolist() == scores["mask_area"].tolist()


def test_an_empty_mask_is_undefined_and_not_a_miss():
    scores = measured(torch.ones(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool))
    assert all(values.isnan().all() for values in scores.values())


def test_without_masks_there_are_no_columns():
    assert measured(torch.ones(1, 2, 4, 4), None) == {}
