"""Phantoms are what their ratings say."""

import numpy as np
import pytest

from cdam_bench.lidc.nodule_set import BIOMARKERS
from cdam_bench.lidc.phantom import draw_nodule, phantom_nodules

PLAIN = {"spiculation": 1.0, "lobulation": 1.0, "sphericity": 5.0, "margin": 5.0, "texture": 5.0, "calcification": 6.0}


def drawn(**ratings):
    row = PLAIN | {"diameter": 14.0, "subtlety": 3.0} | ratings
    return draw_nodule(row, np.random.default_rng(3))


def test_a_nodule_depends_on_the_seed_and_its_number_alone():
    few, more = phantom_nodules(4, seed=5), phantom_nodules(6, seed=5)
    np.testing.assert_array_equal(few.crops, more.crops[:4])
    assert few.table.nodule.tolist() == more.table.nodule.tolist()[:4]
    assert not np.array_equal(few.crops, phantom_nodules(4, seed=6).crops)


def test_malignancy_is_rated_by_size_and_spiculation_and_none_is_indeterminate():
    nodules = phantom_nodules(40)
    table = nodules.table
    expected = np.clip(np.round(3 + (table.diameter - 13) / 3 + 0.6 * (table.spiculation - 3)), 1, 5)
    np.testing.assert_array_equal(table.malignancy, expected)
    assert not (table.malignancy == 3).any()
    np.testing.assert_array_equal(table.label, table.malignancy > 3)
    assert table[list(BIOMARKERS)].min().min() >= 1
    assert nodules.crops.min() >= -1000
    assert nodules.crops.max() <= 400


@pytest.mark.parametrize("diameter", [8.0, 14.0, 20.0])
def test_a_smooth_ball_has_its_diameter(diameter):
    _, mask = drawn(diameter=diameter)
    assert (6 * mask.sum() / np.pi) ** (1 / 3) == pytest.approx(diameter, rel=0.05)


def test_spikes_and_bumps_roughen_the_surface():
    def roughness(mask):
        """Voxels that have a neighbour outside, of those of a ball of the same volume."""
        inner = mask.copy()
        for axis in range(3):
            inner &= np.roll(mask, 1, axis) & np.roll(mask, -1, axis)
        return (mask & ~inner).sum() / mask.sum() ** (2 / 3)

    smooth = roughness(drawn()[1])
    assert roughness(drawn(spiculation=5.0)[1]) > 1.2 * smooth


def test_texture_and_calcium_set_the_density_and_margin_the_edge():
    def inside(**ratings):
        hu, mask = drawn(**ratings)
        return np.median(hu[mask])

    assert inside(texture=5.0) == pytest.approx(40, abs=60)
    assert inside(texture=1.0) == pytest.approx(-600, abs=60)
    solid, calcified = (drawn(calcification=value)[0].max() for value in (6.0, 1.0))
    assert calcified == 400
    assert solid < 400
    sharp, soft = (drawn(margin=value) for value in (5.0, 1.0))
    middle = [((hu > -600) & (hu < -200)).sum() for hu, _ in (sharp, soft)]
    assert middle[1] > 2 * middle[0]
