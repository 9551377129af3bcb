"""Our numbers against the paper's: drawn from its means they are compatible, moved by five standard errors they are not."""

import csv

import numpy as np
import pytest
from scipy import stats

from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.paper_check import check_page, open_choices, paper_checks, write_paper_check
from tests.reporting.stores import write_cell

COUNT = 50
PRINTED = {
    "cdam": {"A_MIF": 801, "A_LIF": 1423, "A_box": 11.3},
    "smoothgrad": {"A_MIF": 796, "A_LIF": 786, "A_box": 0.2},
}


def comparison_of(tmp_path, moved=0.0, count=COUNT, backbone="dino_vits8", seed=0):
    """Two methods whose images scatter around the paper's means; CDAM's A_MIF is moved by so many standard errors."""
    rng = np.random.default_rng(seed)
    for estimator, scores in PRINTED.items():
        values = {}
        for score, mean in scores.items():
            noise = rng.normal(size=count)
            values[score] = mean + 100 * (
                noise - noise.mean() + (moved if (estimator, score) == ("cdam", "A_MIF") else 0)
            )
        write_cell(tmp_path, estimator, values, dataset="imagenet_random", backbone=backbone)
    return read_comparisons(tmp_path)[0]


def test_numbers_drawn_around_the_papers_are_compatible(tmp_path):
    comparison = comparison_of(tmp_path)
    checks = paper_checks(comparison)
    assert {(check.estimator, check.column.name): float(check.printed) for check in checks} == {
        (name, score): value for name, scores in PRINTED.items() for score, value in scores.items()
    }
    assert all(check.compatible for check in checks)
    assert "**Compatible with the paper**: none of the 6 numbers" in check_page(comparison, checks)


def test_a_number_that_is_off_is_named_with_what_the_paper_leaves_open(tmp_path):
    comparison = comparison_of(tmp_path, moved=1.0)  # standard errors of 1/√50 + 1/√1000: about 7 of them
    checks = paper_checks(comparison)
    differing = [check for check in checks if not check.compatible]
    assert [(check.estimator, check.column.name) for check in differing] == [("cdam", "A_MIF")]
    page = check_page(comparison, checks)
    assert "**Not compatible with the paper**: 1 of the 6 numbers" in page
    assert "the blur (σ), the steps of the curves" in open_choices(differing[0])
    assert open_choices(differing[0]) in page


def test_p_value_is_the_t_tests_with_the_papers_images_in_the_standard_error(tmp_path):
    comparison = comparison_of(tmp_path, moved=0.3)
    (check,) = [c for c in paper_checks(comparison) if (c.estimator, c.column.name) == ("cdam", "A_MIF")]
    (cell,) = [cell for cell in comparison.cells if cell.key.estimator == "cdam"]
    values = cell.scores["A_MIF"].to_numpy()
    # scipy's one-sample test knows our images' error alone: 801 ± half a digit moved so that only the error differs
    alone = stats.ttest_1samp(values, 801.5)
    statistic = alone.statistic * np.sqrt((1 / COUNT) / (1 / COUNT + 1 / 1000))
    assert check.p_value == pytest.approx(min(1, 6 * 2 * stats.t.sf(abs(statistic), COUNT - 1)))


def test_rounding_of_the_printed_number_is_no_difference(tmp_path):
    for estimator in PRINTED:
        write_cell(tmp_path, estimator, {"A_MIF": np.full(12, {"cdam": 801.4, "smoothgrad": 796.6}[estimator])},
                   dataset="imagenet_random", backbone="dino_vits8")  # fmt: skip
    verdicts = {check.estimator: check.compatible for check in paper_checks(read_comparisons(tmp_path)[0])}
    assert verdicts == {"cdam": True, "smoothgrad": False}


def test_honest_numbers_are_called_incompatible_in_at_most_one_of_twenty_tables(tmp_path):
    rng = np.random.default_rng(1)
    alarms, tables = 0, 40
    for table in range(tables):
        folder = tmp_path / str(table)
        for estimator, scores in PRINTED.items():
            values = {}
            for score, truth in scores.items():  # the paper's mean is itself one of 1000 images
                spread = 10 * np.sqrt(1000)
                values[score] = truth + rng.normal(scale=10) + rng.normal(scale=spread, size=COUNT)
            write_cell(folder, estimator, values, dataset="imagenet_random", backbone="dino_vits8")
        alarms += any(not check.compatible for check in paper_checks(read_comparisons(folder)[0]))
    assert alarms <= stats.binom.ppf(0.999, tables, 0.05)


def test_other_backbones_and_few_images_are_not_compared(tmp_path):
    assert paper_checks(comparison_of(tmp_path / "other", backbone="dino_vits16")) == []
    assert paper_checks(comparison_of(tmp_path / "few", count=9)) == []


def test_files_have_a_line_per_number(tmp_path):
    comparison = comparison_of(tmp_path)
    written = write_paper_check([comparison], tmp_path / "tables")
    assert [path.name for path in written] == ["paper_check.md", "paper_check.csv"]
    with written[1].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["estimator"], rows[0]["score"], rows[0]["compatible"]) == ("cdam", "A_MIF", "true")
    assert len(rows) == 6
