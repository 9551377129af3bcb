"""Intervals and tests against scipy's and against cases worked by hand."""

import numpy as np
import pytest
from scipy import stats

from cdam_bench.statistics import agreement_of_means, holm, mean_intervals, paired_p_values, rank_correlations


@pytest.fixture
def scores():
    return np.random.default_rng(1).gamma(2.0, 30.0, size=(80, 3))


def test_interval_agrees_with_scipy_percentile_bootstrap(scores):
    for column, interval in zip(scores.T, mean_intervals(scores, resamples=20000), strict=True):
        expected = stats.bootstrap(
            (column,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(0)
        ).confidence_interval
        tolerance = 0.04 * (expected.high - expected.low)
        assert interval.mean == pytest.approx(column.mean())
        assert interval.low == pytest.approx(expected.low, abs=tolerance)
        assert interval.high == pytest.approx(expected.high, abs=tolerance)


def test_interval_of_two_values_worked_by_hand():
    # resamples of (0, 4) have means 0, 2, 2, 4 with equal chance: a quarter of them lie at each end
    (interval,) = mean_intervals(np.array([[0.0], [4.0]]))
    assert (interval.mean, interval.low, interval.high, interval.count) == (2, 0, 4, 2)
    (narrow,) = mean_intervals(np.array([[0.0], [4.0]]), confidence=0.4)
    assert (narrow.low, narrow.high) == (2, 2)


def test_interval_covers_the_true_mean_as_often_as_it_says():
    samples = np.random.default_rng(2).normal(5, 2, size=(60, 1000))
    covered = np.mean([interval.low <= 5 <= interval.high for interval in mean_intervals(samples, resamples=1000)])
    assert 0.92 <= covered <= 0.97


def test_nan_is_left_out_and_counted(scores):
    with_nan = scores.copy()
    with_nan[[3, 40], 1] = np.nan
    intervals = mean_intervals(with_nan)
    (alone,) = mean_intervals(np.delete(scores[:, [1]], [3, 40], axis=0))
    assert intervals[1] == alone
    assert [interval.count for interval in intervals] == [80, 78, 80]


def test_no_values_give_no_mean_and_one_value_gives_no_interval():
    nothing, single = mean_intervals(np.array([[np.nan, 3.0], [np.nan, np.nan]]))
    assert np.isnan([nothing.mean, nothing.low, nothing.high]).all()
    assert nothing.count == 0
    assert single.mean == 3
    assert np.isnan([single.low, single.high]).all()


def test_interval_is_the_same_whatever_columns_stand_beside_it(scores):
    beside, alone = mean_intervals(scores)[2], mean_intervals(scores[:, 2:])[0]
    assert [beside.low, beside.high] == pytest.approx([alone.low, alone.high], rel=1e-12)


def test_resampling_in_blocks_covers_every_resample(scores, monkeypatch):
    monkeypatch.setattr("cdam_bench.statistics.BLOCK", 80 * 700)
    blocks = mean_intervals(scores)
    monkeypatch.undo()
    for block, whole in zip(blocks, mean_intervals(scores), strict=True):
        assert [block.low, block.high] == pytest.approx([whole.low, whole.high], rel=0.02)


def test_exact_paired_test_worked_by_hand():
    # of the 8 sign vectors of (1, 2, 3), two (all +, all −) have |sum| ≥ 6; of (1, 2, −3), all have |sum| ≥ 0
    assert paired_p_values(np.array([[1.0, 1], [2, 2], [3, -3]])) == pytest.approx([0.25, 1.0])


def test_paired_test_agrees_with_scipy(scores):
    for size, tolerance in ((9, 1e-12), (80, 0.012)):  # exact, random
        differences = scores[:size, 0] - scores[:size, 1] + 4
        expected = stats.permutation_test(
            (differences, np.zeros(size)),
            lambda a, b: np.mean(a - b),
            permutation_type="samples",
            n_resamples=20000,
            rng=np.random.default_rng(0),
        )
        assert paired_p_values(differences[:, None], resamples=20000)[0] == pytest.approx(
            expected.pvalue, abs=tolerance
        )


def test_paired_test_rejects_as_often_as_it_says_where_there_is_no_difference():
    nothing = np.random.default_rng(3).laplace(size=(40, 2000))
    assert np.mean(paired_p_values(nothing, resamples=1000) <= 0.05) == pytest.approx(0.05, abs=0.015)


def test_equal_methods_do_not_differ():
    assert paired_p_values(np.zeros((50, 1))) == 1


def test_holm_worked_by_hand():
    # sorted 0.01, 0.02, 0.03, 0.04 × 4, 3, 2, 1 = 0.04, 0.06, 0.06, 0.04 → never falling: 0.04, 0.06, 0.06, 0.06
    assert holm(np.array([0.03, 0.01, 0.04, 0.02])) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm(np.array([0.5, 0.9])) == pytest.approx([1, 1])


def test_rank_correlations_are_scipys_with_and_without_ties():
    rng = np.random.default_rng(4)
    for first, second in (rng.normal(size=(2, 30, 10)), rng.integers(3, size=(2, 30, 10))):
        expected = [stats.spearmanr(a, b).statistic for a, b in zip(first, second, strict=True)]
        assert rank_correlations(first, second) == pytest.approx(expected)


def test_rank_correlation_of_a_constant_row_or_one_with_nan_is_undefined():
    rising = np.array([[1.0, 2, 3], [1, 2, 3], [1, 2, 3]])
    other = np.array([[5.0, 5, 5], [1, np.nan, 2], [9, 8, 7]])
    assert rank_correlations(rising, other) == pytest.approx([np.nan, np.nan, -1], nan_ok=True)


def test_agreement_of_means_and_its_interval_are_scipys():
    rng = np.random.default_rng(5)
    quality = np.linspace(0, 1.5, 6)
    first, second = (quality + rng.normal(size=(40, 6)) for _ in range(2))
    found = agreement_of_means(first, second, resamples=20000)

    def spearman_of_means(*columns, axis=-1):
        means = np.stack([column.mean(axis) for column in columns], -1)
        return np.apply_along_axis(lambda row: stats.spearmanr(row[:6], row[6:]).statistic, -1, means)

    expected = stats.bootstrap(
        (*first.T, *second.T),
        spearman_of_means,
        paired=True,
        vectorized=True,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert found.mean == pytest.approx(stats.spearmanr(first.mean(0), second.mean(0)).statistic)
    assert found.low == pytest.approx(expected.low, abs=0.1)  # of six methods, correlations come in steps of 0.06
    assert found.high == pytest.approx(expected.high, abs=0.06)
    assert found.count == 6


def test_agreement_leaves_missing_images_out_of_a_methods_mean():
    first = np.array([[1.0, 2, 3], [1, 2, 3], [np.nan, 2, 3]])
    second = np.array([[3.0, 2, 1], [3, 2, np.nan], [np.nan, 2, 1]])
    found = agreement_of_means(first, second)
    assert (found.mean, found.low, found.high) == pytest.approx((-1, -1, -1))


def test_agreement_of_two_methods_says_nothing():
    assert np.isnan(agreement_of_means(np.ones((5, 2)), np.ones((5, 2))).mean)
