"""Compactness against a count by hand and a loop over pixels."""

import pytest
import torch

from cdam_bench.errors import UserError
from cdam_bench.metrics import Compactness, compactness
from tests.reference.perturbation import compactness as counted


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.0, 1.0])
def test_compactness_equals_a_count_over_pixels(threshold):
    maps = torch.randn(3, 9, 11, generator=torch.Generator().manual_seed(11)) ** 3
    expected = torch.tensor([counted(importance, threshold) for importance in maps])
    torch.testing.assert_close(compactness(maps, threshold), expected)


def test_a_value_at_the_threshold_counts_and_signs_do_not():
    maps = torch.tensor([[[-8.0, 2.0], [-2.0, 2.5]]])
    assert compactness(maps, 0.25).item() == 0.5


def test_the_share_does_not_depend_on_the_maps_scale():
    maps = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(12))
    assert torch.equal(compactness(maps), compactness(4 * maps))


def test_a_map_of_zeros_is_compact():
    assert compactness(torch.zeros(1, 4, 4)).item() == 1


@pytest.mark.parametrize("threshold", [-0.1, 1.5])
def test_a_threshold_that_is_no_share_is_refused(threshold):
    with pytest.raises(UserError, match=f"threshold={threshold}"):
        Compactness(threshold)
