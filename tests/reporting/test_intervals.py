"""A score that counts images gets a proportion's interval, any other one a bootstrap, whoever declared it."""

import numpy as np
import pytest
from scipy import stats

from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.formats import caption, to_csv
from cdam_bench.reporting.intervals import difference_intervals, proportions, score_intervals
from cdam_bench.reporting.means import make_tables
from cdam_bench.statistics import mean_intervals
from cdam_bench.store.columns import SHARE_OF_IMAGES, Column
from tests.reporting.stores import write_cell

SHARE = Column("share", unit=SHARE_OF_IMAGES)
LOGIT = Column("logit", unit="logit")
NOBODYS = Column("nobodys")
ONES, MIXED = np.ones(30), (np.arange(30) < 12).astype(float)


def test_what_counts_images_is_known_by_its_unit_or_where_none_is_told_by_its_values():
    def are(column, *methods):
        return bool(proportions([column], np.stack(methods, 1)[..., None])[0])

    assert are(SHARE, ONES)
    assert are(SHARE, MIXED / 2)
    assert not are(SHARE, ONES, -MIXED)  # a mistake in the declaration: no proportion can be below 0
    assert are(NOBODYS, ONES, MIXED)
    assert not are(NOBODYS, ONES)  # may be anything
    assert not are(NOBODYS, MIXED, MIXED / 3)
    assert not are(LOGIT, MIXED)


def test_every_method_and_score_has_the_interval_of_its_kind():
    values = np.stack([np.stack([ONES, MIXED], 1), np.stack([MIXED, 3 * MIXED], 1)], 1)  # (images, methods, scores)
    (first, second) = score_intervals([SHARE, LOGIT], values)
    wilson = stats.binomtest(30, 30).proportion_ci(method="wilson")
    assert [first[0].low, first[0].high] == pytest.approx([*wilson])
    assert second[1] == mean_intervals(3 * MIXED[:, None])[0]
    assert (first[1].mean, second[0].mean) == pytest.approx((0.4, 0.4))


def test_differences_of_logits_are_bootstrapped_and_those_of_shares_are_not():
    values = np.stack([ONES, MIXED], 1)[:, None]
    (found,) = difference_intervals([SHARE, LOGIT], values, np.stack([ONES, ONES], 1))
    assert found[0].low < 0 < found[0].high  # no image differs, and yet it is not certain that none would
    assert found[1] == mean_intervals((MIXED - ONES)[:, None])[0]


def test_tables_say_which_interval_is_which(tmp_path):
    write_cell(tmp_path, "cdam", {"right_box": ONES, "positive_share": MIXED / 3})
    (table,) = make_tables(read_comparisons(tmp_path)[0])
    assert "of shares of the images Wilson’s score interval instead" in caption(table)
    kinds = {line.split(",")[4]: line.split(",")[-1] for line in to_csv(table).splitlines()[1:]}
    assert kinds == {"right_box": "wilson", "positive_share": "bootstrap"}


def test_cells_without_shares_are_told_nothing_about_them(tmp_path):
    write_cell(tmp_path, "cdam", {"A_LIF": 3 * MIXED})
    (table,) = make_tables(read_comparisons(tmp_path)[0])
    assert "Wilson" not in caption(table)
