"""Localisation by hand: maps on a 4 × 4 image with two boxes."""

import pytest
import torch

from cdam_bench.metrics import Localisation, Subject
from cdam_bench.metrics.localisation import box_masks, pointing_game, positive_share

BOXES = torch.tensor([[[0, 0, 2, 2], [2, 1, 4, 4]]])  # top left 2 × 2; bottom right 2 × 3


def test_a_box_covers_its_first_pixel_and_not_its_end():
    masks = box_masks(BOXES, (4, 4))[0]
    assert masks[0].nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert masks[1].sum() == 6


def test_the_pointing_game_asks_for_the_largest_value_not_the_largest_magnitude():
    importance = torch.zeros(1, 4, 4)
    importance[0, 0, 0], importance[0, 3, 3] = 1.0, -5.0
    masks = box_masks(BOXES, (4, 4))
    assert pointing_game(importance, masks[:, 0]).tolist() == [1.0]
    assert pointing_game(importance, masks[:, 1]).tolist() == [0.0]


def test_a_constant_map_points_nowhere():
    masks = box_masks(BOXES, (4, 4))[:, 0]
    assert pointing_game(torch.zeros(1, 4, 4), masks).isnan().all()
    assert pointing_game(torch.full((1, 4, 4), -2.0), masks).isnan().all()


def test_the_positive_share_is_the_grid_pointing_game_of_a_mosaic():
    """Böhle et al. 2021: positive contributions in the cell of the class, over those in all cells of the grid."""
    importance = torch.randn(5, 6, 6, generator=torch.Generator().manual_seed(0))
    cells = torch.tensor([[0, 0, 3, 3], [0, 3, 3, 6], [3, 0, 6, 3], [3, 3, 6, 6]])
    quarters = [importance[:, :3, :3], importance[:, :3, 3:], importance[:, 3:, :3], importance[:, 3:, 3:]]
    evidence = torch.stack([quarter.relu().sum((1, 2)) for quarter in quarters], 1)
    shares = [positive_share(importance, box_masks(cell, (6, 6)).expand(5, -1, -1)) for cell in cells]
    assert torch.stack(shares, 1).numpy() == pytest.approx((evidence / evidence.sum(1, keepdim=True)).numpy(), rel=1e-6)


def test_the_positive_share_leaves_counter_evidence_out():
    importance = torch.full((1, 4, 4), -1.0)
    importance[0, 0, 0], importance[0, 3, 3], importance[0, 0, 3] = 3.0, 1.0, 4.0
    masks = box_masks(BOXES, (4, 4))
    assert positive_share(importance, masks[:, 0]).item() == 3 / 8
    assert positive_share(-torch.ones(1, 4, 4), masks[:, 0]).isnan().all()


def measured(maps, boxes):
    nothing = torch.zeros(1, dtype=torch.long)
    return Localisation().measure(Subject(None, torch.zeros(1, 3, 4, 4), nothing, nothing, boxes), maps).scores


def test_the_right_box_has_the_larger_sum_and_a_blind_map_is_right_for_one_of_two():
    importance = torch.zeros(1, 2, 4, 4)
    importance[:, :, 3, 3] = 1.0  # the same map for both targets, in the second box
    scores = measured(importance, BOXES)
    assert scores["right_box"].tolist() == [0.0]
    assert scores["other_right_box"].tolist() == [1.0]
    assert scores["other_positive_share"].tolist() == [1.0]
    assert scores["box_area"].tolist() == [4 / 16]


def test_an_even_map_has_the_area_of_the_box_as_its_positive_share():
    scores = measured(torch.ones(1, 2, 4, 4), BOXES)
    assert scores["positive_share"].tolist() == scores["box_area"].tolist()


def test_without_boxes_there_are_no_columns():
    assert measured(torch.ones(1, 2, 4, 4), None) == {}
