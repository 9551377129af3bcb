"""Differences on the same images: hand cases, and scipy."""

import csv

import numpy as np
import pytest
from scipy import stats

from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.paired import differences, differences_page, write_paired
from tests.reporting.stores import write_cell

SCORES = {
    "cdam": {"A_LIF-MIF": [10, 10, 10], "positive_share": [0.5, 0.5, 0.5]},
    "smooth_cdam": {"A_LIF-MIF": [12, 12, 18], "positive_share": [0.7, 0.8, 0.3]},
    "gradcam": {"A_LIF-MIF": [5, 7, 6], "positive_share": [0.2, 0.2, 0.45]},
}


def compare(store, scores):
    for estimator, columns in scores.items():
        write_cell(store, estimator, {name: np.array(values, float) for name, values in columns.items()})
    return read_comparisons(store)[0]


@pytest.fixture
def comparison(tmp_path):
    return compare(tmp_path, SCORES)


def by_name(comparison):
    return {(d.estimator, d.column.name): d for d in differences(comparison).found}


def test_differences_are_of_the_same_images(comparison):
    found = by_name(comparison)
    assert set(found) == {(name, score) for name in ("smooth_cdam", "gradcam") for score in SCORES["cdam"]}
    smooth = found["smooth_cdam", "A_LIF-MIF"]
    assert (smooth.interval.mean, smooth.interval.low, smooth.interval.high) == pytest.approx((4, 2, 8))
    assert found["gradcam", "A_LIF-MIF"].interval.mean == pytest.approx(-4)


def test_a_difference_is_also_told_in_its_standard_deviations(comparison):
    smooth = by_name(comparison)["smooth_cdam", "A_LIF-MIF"]
    assert smooth.standardised.mean == pytest.approx(4 / np.std([2, 2, 8], ddof=1))


def test_p_values_are_holm_corrected_over_all_methods_and_scores(comparison):
    found = by_name(comparison)
    # three differences of one sign: 2 of 8 sign vectors are as extreme; so in three of the four tests
    differing = np.array(SCORES["smooth_cdam"]["positive_share"]) - 0.5
    alone = stats.permutation_test((differing, np.zeros(3)), lambda a, b: np.mean(a - b), permutation_type="samples")
    raw = {place: d.raw_p_value for place, d in found.items()}
    assert raw.pop(("smooth_cdam", "positive_share")) == pytest.approx(alone.pvalue) == 0.75
    assert set(raw.values()) == {0.25}
    assert {d.p_value for d in found.values()} == {1}  # 4 · 0.25
    assert differences(comparison).family.tests == 4


def test_the_same_difference_is_significant_in_every_score_or_in_none(tmp_path):
    clear, unclear = np.full(12, 9.0), np.tile([1.0, -1], 6)
    mine = np.repeat([1.0, -1], [10, 2])
    scores = {"cdam": dict.fromkeys(("A_MIF", "A_LIF"), np.zeros(12))}
    scores |= {f"other{k}": {"A_MIF": clear, "A_LIF": unclear} for k in range(4)}
    scores["mine"] = dict.fromkeys(("A_MIF", "A_LIF"), mine)
    first, second = (d for d in differences(compare(tmp_path, scores)).found if d.estimator == "mine")
    # corrected score by score, it would be significant beside the clear differences, and not beside the unclear ones
    assert first.raw_p_value == 2 * (1 + 12 + 66) / 2**12
    assert first.raw_p_value <= 0.05 < 5 * first.raw_p_value
    assert first.p_value == second.p_value > 0.05


def test_shares_of_images_get_tangos_interval_and_mcnemars_test(tmp_path):
    right, left = np.ones(60), np.ones(60)
    left[:7] = 0
    comparison = compare(
        tmp_path, {"cdam": {"right_box": right}, "gradcam": {"right_box": left}, "mine": {"right_box": right}}
    )
    found = by_name(comparison)
    same, differing = found["mine", "right_box"].interval, found["gradcam", "right_box"]
    z2 = stats.norm.ppf(0.975) ** 2
    assert [same.low, same.high] == pytest.approx([-z2 / (60 + z2), z2 / (60 + z2)])
    assert differing.interval.high < 0
    assert differing.raw_p_value == pytest.approx(stats.binomtest(0, 7).pvalue, rel=0.1)
    assert "Tango’s score interval" in differences_page(comparison, differences(comparison))


def test_pages_say_what_the_numbers_are(comparison, tmp_path):
    written = write_paired([comparison], tmp_path / "tables")
    folder = tmp_path / "tables" / "digits" / "digits_vit"
    assert written == [folder / name for name in ("differences.md", "differences.csv", "agreement.md", "agreement.csv")]
    page = (folder / "differences.md").read_text()
    assert "| Smooth CDAM | 4.0 [2.0, 8.0] | " in page
    assert "5 %, all sign flips, Holm-corrected over all 4 tests of this question together" in page
    assert "3 images are too few for any of 4 tests to be significant after the correction." in page
    assert "| Smooth CDAM | 1.15 [" in page.partition("Cohen's d_z")[2]
    assert "| A_LIF−MIF | positive importance in the box | 1.00 [" in (folder / "agreement.md").read_text()
    with (folder / "differences.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] | {"p_holm": "1", "p": "0.25", "tests": "4", "interval": "bootstrap", "d_z": "1.154701"} == rows[0]
    assert (rows[0]["estimator"], rows[0]["score"], float(rows[0]["difference"])) == ("smooth_cdam", "A_LIF-MIF", 4)


def test_unfinished_methods_are_left_out_and_too_few_give_no_page(tmp_path):
    write_cell(tmp_path, "cdam", {"A_LIF-MIF": np.ones(4), "positive_share": np.ones(4)})
    write_cell(tmp_path, "gradcam", {"A_LIF-MIF": np.ones(4), "positive_share": np.ones(4)}, done=2)
    (comparison,) = read_comparisons(tmp_path)
    assert differences(comparison) is None
    assert write_paired([comparison], tmp_path / "tables") == []
    assert not (tmp_path / "tables").exists()


def test_a_class_blind_map_does_not_differ_from_another_one(tmp_path):
    for estimator in ("cdam", "attention_map"):
        write_cell(tmp_path, estimator, {"delta_A_LIF-MIF": np.zeros(6)})
    (comparison,) = read_comparisons(tmp_path)
    (found,) = differences(comparison).found
    assert (found.interval.mean, found.p_value) == (0, 1)
    assert "– [–, –]" in differences_page(comparison, differences(comparison))
