"""Differences on the same images and agreement of scores: hand cases, and scipy."""

import csv

import numpy as np
import pytest
from scipy import stats

from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.paired import agreements, differences, write_paired
from tests.reporting.stores import write_cell

# fidelity and localisation order these alike in the mean, and in two of the three images
SCORES = {
    "cdam": {"A_LIF-MIF": [10, 10, 10], "positive_share": [0.5, 0.5, 0.5]},
    "smooth_cdam": {"A_LIF-MIF": [12, 12, 18], "positive_share": [0.7, 0.8, 0.3]},
    "gradcam": {"A_LIF-MIF": [5, 7, 6], "positive_share": [0.2, 0.2, 0.45]},
}


@pytest.fixture
def comparison(tmp_path):
    for estimator, scores in SCORES.items():
        write_cell(tmp_path, estimator, {name: np.array(values, float) for name, values in scores.items()})
    return read_comparisons(tmp_path)[0]


def test_differences_are_of_the_same_images(comparison):
    found = {(d.estimator, d.column.name): d for d in differences(comparison)}
    assert set(found) == {(name, score) for name in ("smooth_cdam", "gradcam") for score in SCORES["cdam"]}
    smooth = found["smooth_cdam", "A_LIF-MIF"]
    assert (smooth.interval.mean, smooth.interval.low, smooth.interval.high) == pytest.approx((4, 2, 8))
    assert found["gradcam", "A_LIF-MIF"].interval.mean == pytest.approx(-4)


def test_p_values_are_holm_corrected_over_the_methods_of_a_score(comparison):
    found = {(d.estimator, d.column.name): d.p_value for d in differences(comparison)}
    # three differences of one sign: 2 of 8 sign vectors are as extreme, for both methods; times two, of two methods
    assert found["smooth_cdam", "A_LIF-MIF"] == found["gradcam", "A_LIF-MIF"] == 0.5
    differing = np.array(SCORES["smooth_cdam"]["positive_share"]) - 0.5
    alone = stats.permutation_test((differing, np.zeros(3)), lambda a, b: np.mean(a - b), permutation_type="samples")
    assert alone.pvalue == 0.75
    assert found["gradcam", "positive_share"] == 0.5  # alone 0.25, times two
    assert found["smooth_cdam", "positive_share"] == pytest.approx(alone.pvalue)  # the larger of two, times one


def test_agreement_of_the_means_and_per_image(comparison):
    (found,) = agreements(comparison)
    assert (found.first.name, found.second.name) == ("A_LIF-MIF", "positive_share")
    assert found.of_means.mean == pytest.approx(1)
    third = stats.spearmanr([10, 18, 6], [0.5, 0.3, 0.45]).statistic
    assert found.per_image.mean == pytest.approx((1 + 1 + third) / 3)
    assert found.per_image.count == 3


def test_pages_say_what_the_numbers_are(comparison, tmp_path):
    written = write_paired([comparison], tmp_path / "tables")
    folder = tmp_path / "tables" / "digits" / "digits_vit"
    assert written == [folder / name for name in ("differences.md", "differences.csv", "agreement.md", "agreement.csv")]
    assert "| Smooth CDAM | 4.0 [2.0, 8.0] | " in (folder / "differences.md").read_text()
    assert "| A_LIF−MIF | positive importance in the box | 1.00 [" in (folder / "agreement.md").read_text()
    with (folder / "differences.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] | {"p_holm": "0.5"} == rows[0]
    assert (rows[0]["estimator"], rows[0]["score"], float(rows[0]["difference"])) == ("smooth_cdam", "A_LIF-MIF", 4)


def test_unfinished_methods_are_left_out_and_too_few_give_no_page(tmp_path):
    write_cell(tmp_path, "cdam", {"A_LIF-MIF": np.ones(4), "positive_share": np.ones(4)})
    write_cell(tmp_path, "gradcam", {"A_LIF-MIF": np.ones(4), "positive_share": np.ones(4)}, done=2)
    (comparison,) = read_comparisons(tmp_path)
    assert differences(comparison) == agreements(comparison) == []
    assert write_paired([comparison], tmp_path / "tables") == []
    assert not (tmp_path / "tables").exists()


def test_a_class_blind_map_does_not_differ_from_another_one(tmp_path):
    for estimator in ("cdam", "attention_map"):
        write_cell(tmp_path, estimator, {"delta_A_LIF-MIF": np.zeros(6)})
    (comparison,) = read_comparisons(tmp_path)
    (found,) = differences(comparison)
    assert (found.interval.mean, found.p_value) == (0, 1)
