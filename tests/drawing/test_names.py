"""Every estimator of the package has a name, a family and a line of its own; so has one that no list knows."""

import numpy as np
import pytest

from cdam_bench.configs import config_dir
from cdam_bench.drawing.families import FAMILIES, OTHERS, by_family, family_of, line_of
from cdam_bench.drawing.names import PAPERS, display_name, in_order

PACKAGED = sorted(file.stem for file in (config_dir() / "estimator").glob("*.yaml"))


def lightness(colour):
    """CIE L* of "#RRGGBB", from its definition (sRGB, IEC 61966-2-1)."""
    encoded = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16


def test_every_packaged_estimator_has_a_family_and_every_paper_one_stands_first():
    assert [name for name in PACKAGED if family_of(name) is OTHERS] == []
    assert in_order(PACKAGED)[:10] == list(PAPERS)


def test_lines_of_all_estimators_differ_in_marker_dashes_or_colour():
    several = [*PACKAGED, *(f"mine_{i}" for i in range(12))]
    lines = {(line["color"], str(line["linestyle"]), line["marker"]) for line in (line_of(n, several) for n in several)}
    assert len(lines) == len(several)


@pytest.mark.parametrize("family", [*FAMILIES, OTHERS], ids=lambda family: family.name)
def test_members_of_a_family_can_be_told_apart_in_grey(family):
    shades = np.array([lightness(shade) for shade in family.shades])
    apart = np.abs(shades[:, None] - shades)[~np.eye(len(shades), dtype=bool)]
    assert apart.min() >= 7.5
    assert np.abs(shades - np.roll(shades, 1)).min() >= 16.5  # neighbours, as two members alone are
    assert shades.max() < 75  # and on white paper


def test_families_have_markers_of_their_own():
    assert len({family.marker for family in (*FAMILIES, OTHERS)}) == len(FAMILIES) + 1


def test_a_known_estimator_looks_the_same_in_every_figure():
    assert line_of("legrad", ["legrad"]) == line_of("legrad", [*PACKAGED, "legrad_8"])


def test_ones_own_method_has_its_id_as_name_a_family_and_a_line():
    assert display_name("token_norm") == "token_norm"
    assert family_of("token_norm") is OTHERS
    assert line_of("token_norm", ["cdam", "token_norm"])["color"] in OTHERS.shades


@pytest.mark.parametrize(
    ("estimator", "member"),
    [
        ("cdam_contrast", "cdam"),
        ("smooth_cdam_0.05", "smooth_cdam"),
        ("legrad_mean_3", "legrad_mean"),
        ("rise", "rise"),
    ],
)
def test_a_variant_is_of_the_family_of_what_it_is_a_variant_of(estimator, member):
    assert member in family_of(estimator).members


def test_a_name_that_only_begins_like_a_known_one_is_no_variant():
    assert family_of("risen") is OTHERS
    assert family_of("my_cdam") is OTHERS


def test_families_stand_in_their_order_and_within_them_variants_last():
    names = ["zeta", "random", "cdam_2", "deep_cdam", "cdam", "attention_map"]
    assert by_family(names) == {
        "CDAM": ["cdam", "deep_cdam", "cdam_2"],
        "Attention alone": ["attention_map"],
        "Floor": ["random"],
        "Others": ["zeta"],
    }
