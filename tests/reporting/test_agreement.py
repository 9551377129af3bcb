"""Agreement of scores over methods, near-duplicates counted once: hand cases, and scipy."""

import numpy as np
import pytest
from scipy import stats

from cdam_bench.reporting.agreement import agreement_csv, agreement_page, agreements
from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.near_duplicates import near_duplicates
from tests.reporting.stores import write_cell

# fidelity and localisation order these alike in the mean, and in two of the three images
SCORES = {
    "cdam": {"A_LIF-MIF": [10, 10, 10], "positive_share": [0.5, 0.5, 0.5]},
    "smooth_cdam": {"A_LIF-MIF": [12, 12, 18], "positive_share": [0.7, 0.8, 0.3]},
    "gradcam": {"A_LIF-MIF": [5, 7, 6], "positive_share": [0.2, 0.2, 0.45]},
}


def compare(store, scores, classes=None):
    """One cell per name; `classes` says of which class its estimator is."""
    for estimator, columns in scores.items():
        cell = {name: np.array(values, float) for name, values in columns.items()}
        write_cell(store, estimator, cell, target=(classes or {}).get(estimator))
    return read_comparisons(store)[0]


def noisy(names, count=40):
    """Independent scores of every name."""
    rng = np.random.default_rng(2)
    return {name: {"A_LIF-MIF": rng.normal(size=count), "positive_share": rng.uniform(size=count)} for name in names}


def groups_of(comparison):
    return agreements(comparison).groups


def test_agreement_of_the_means_and_per_image(tmp_path):
    (found,) = agreements(compare(tmp_path, SCORES)).pairs
    assert (found.first.name, found.second.name) == ("A_LIF-MIF", "positive_share")
    assert found.of_means.mean == pytest.approx(1)
    third = stats.spearmanr([10, 18, 6], [0.5, 0.3, 0.45]).statistic
    assert found.per_image.mean == pytest.approx((1 + 1 + third) / 3)
    assert (found.of_means.count, found.per_image.count) == (3, 3)


def test_the_three_cdams_count_once_as_the_mean_of_their_scores(tmp_path):
    scores = noisy(("cdam", "smooth_cdam", "integrated_cdam", "gradcam", "smoothgrad", "rise"))
    package = "cdam_bench.estimators"
    classes = {"cdam": f"{package}.CDAM", "smooth_cdam": f"{package}.SmoothCDAM"}
    classes["integrated_cdam"] = f"{package}.IntegratedCDAM"
    found = agreements(compare(tmp_path, scores, classes))
    cdams = ["cdam", "integrated_cdam", "smooth_cdam"]
    assert sorted(found.groups, key=len)[-1] == cdams
    assert len(found.groups) == 4
    points = [
        [np.mean([np.mean(scores[name][score]) for name in group]) for group in (cdams, *found.groups[1:])]
        for score in ("A_LIF-MIF", "positive_share")
    ]
    assert found.pairs[0].of_means.mean == pytest.approx(stats.spearmanr(*points).statistic)
    assert found.pairs[0].of_means.count == 4


def test_settings_of_one_class_of_ones_own_count_once(tmp_path):
    classes = {"mine_a": "my_methods.Mine", "mine_b": "my_methods.Mine", "other": "my_methods.Other", "fourth": "x.Y"}
    comparison = compare(tmp_path, noisy(classes), classes)
    assert sorted(groups_of(comparison)) == [["fourth"], ["mine_a", "mine_b"], ["other"]]


def test_methods_whose_scores_go_along_over_images_count_once_however_they_are_called(tmp_path):
    scores = noisy(("gradcam", "rise", "mine"))
    rng = np.random.default_rng(3)
    scores["copy"] = {name: np.exp(values) + 1e-3 * rng.normal(size=40) for name, values in scores["mine"].items()}
    scores["half_copy"] = {**scores["rise"], "A_LIF-MIF": rng.normal(size=40)}  # alike in one score of two
    groups = groups_of(compare(tmp_path, scores))
    assert sorted(map(sorted, groups)) == [["copy", "mine"], ["gradcam"], ["half_copy"], ["rise"]]


def test_few_images_do_not_tell_whether_scores_go_along(tmp_path):
    scores = {name: {"A_LIF-MIF": np.arange(6) + shift} for shift, name in enumerate(("cdam", "rise", "mine"))}
    comparison = compare(tmp_path, scores)
    columns = [column for own in comparison.declared.columns.values() for column in own if column.name == "A_LIF-MIF"]
    assert near_duplicates(comparison, columns) == [["cdam"], ["mine"], ["rise"]]


def test_page_and_csv_say_what_counted_once(tmp_path):
    scores = noisy(("cdam", "gradcam", "rise", "mine"))
    scores["copy"] = scores["mine"]
    comparison = compare(tmp_path, scores)
    found = agreements(comparison)
    page = agreement_page(comparison, found)
    assert "which leaves 4 of 5: " in page
    assert "images and methods are both drawn anew" in page
    heading, of_means, *_ = agreement_csv(found).splitlines()
    assert heading.split(",")[-1] == "methods"
    assert of_means.split(",")[-2:] == ["4", "4"]


def test_without_a_score_of_both_aspects_or_three_methods_there_is_nothing_to_compare(tmp_path):
    write_cell(tmp_path, "cdam", {"A_LIF-MIF": np.ones(4)})
    assert agreements(read_comparisons(tmp_path)[0]).pairs == []
    for estimator in ("gradcam", "rise"):
        write_cell(tmp_path, estimator, {"A_LIF-MIF": np.ones(4)})
    assert agreements(read_comparisons(tmp_path)[0]).pairs == []
