"""Rankings: best mean first in the good direction, ties by the tests that decide what the tables mark."""

import csv
import io

import numpy as np
import pytest

from cdam_bench.errors import UserError
from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.means import make_tables
from cdam_bench.reporting.ranking import rankings, rankings_csv, rankings_page, shown_rankings
from tests.reporting.stores import write_cell

COUNT = 12
RAMP = np.arange(COUNT) / 10
NOISE = np.array([1.0, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6])
SCORES = {
    "cdam": {"A_MIF": RAMP, "A_LIF": RAMP + 5},
    "gradcam": {"A_MIF": RAMP + 1, "A_LIF": RAMP + NOISE + 4.9},
    "rise": {"A_MIF": RAMP + 2, "A_LIF": RAMP},
    "legrad": {"A_MIF": RAMP + 1, "A_LIF": RAMP + 1},
}


@pytest.fixture
def comparison(tmp_path):
    for estimator, columns in SCORES.items():
        write_cell(tmp_path, estimator, columns)
    write_cell(tmp_path, "random", {"A_MIF": RAMP - 1, "A_LIF": RAMP + 9}, done=4)
    return read_comparisons(tmp_path)[0]


def ranked(comparison, score):
    (ranking,) = (one for one in rankings(comparison) if one.column.name == score)
    return {one.cell.key.estimator: one for one in ranking.methods}


def test_the_best_mean_in_the_good_direction_is_first_and_equal_means_share_a_place(comparison):
    low, high = ranked(comparison, "A_MIF"), ranked(comparison, "A_LIF")
    assert {name: one.place for name, one in low.items()} == {
        "cdam": 1,
        "gradcam": 2,
        "legrad": 2,
        "rise": 4,
        "random": None,
    }
    assert [*high] == ["cdam", "gradcam", "legrad", "rise", "random"]
    assert low["rise"].interval.mean == pytest.approx(RAMP.mean() + 2)


def test_p_values_are_exact_and_corrected_over_all_scores(comparison):
    high = ranked(comparison, "A_LIF")
    # 2 · 3 tests; twelve differences of one sign: 2 of 4096 sign vectors are as extreme, in five of the six
    assert high["rise"].p_value == pytest.approx(6 * 2 / 4096)
    assert high["gradcam"].p_value > 0.05
    assert high["cdam"].p_value is None


def test_tied_is_what_the_tests_do_not_tell_from_the_best_and_the_tables_mark_the_best_that_has_no_tie(comparison):
    ties = {
        score: {name for name, one in ranked(comparison, score).items() if one.tied} for score in ("A_MIF", "A_LIF")
    }
    assert ties == {"A_MIF": {"cdam"}, "A_LIF": {"cdam", "gradcam"}}
    (table,) = make_tables(comparison)
    marked = {
        (cell.key.estimator, column.name)
        for cell, row in zip(comparison.cells, table.rows, strict=True)
        for column, entry in zip(table.columns, row, strict=True)
        if entry.best
    }
    assert marked == {("cdam", "A_MIF")}


def test_means_and_intervals_are_those_of_the_tables(comparison):
    (table,) = make_tables(comparison)
    for j, column in enumerate(table.columns):
        own = ranked(comparison, column.name)
        for cell, row in zip(comparison.cells, table.rows, strict=True):
            assert own[cell.key.estimator].interval == row[j].interval


def test_the_page_and_the_csv_say_the_same(comparison):
    found = rankings(comparison)
    page = rankings_page(comparison, found)
    lines = list(csv.DictReader(io.StringIO(rankings_csv(comparison, found))))
    assert "| 2 = | GradCAM |" in page
    assert "| – | Random (4 of 12) |" in page
    assert len(lines) == 2 * 5
    (gradcam,) = (line for line in lines if (line["estimator"], line["score"]) == ("gradcam", "A_LIF"))
    assert (gradcam["rank"], gradcam["tied"], gradcam["tests"]) == ("2", "true", "6")


def test_one_score_alone_can_be_asked_for_and_an_unknown_one_is_named(comparison):
    assert shown_rankings([comparison], "A_MIF").count("###") == 1
    with pytest.raises(UserError, match="by=A_MIFF is unknown: did you mean A_MIF"):
        shown_rankings([comparison], "A_MIFF")


def test_without_a_good_direction_there_is_no_ranking(tmp_path):
    write_cell(tmp_path, "cdam", {"compactness": RAMP})
    with pytest.raises(UserError, match="nothing to rank by"):
        shown_rankings(read_comparisons(tmp_path))
