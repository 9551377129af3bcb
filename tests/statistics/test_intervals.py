"""Bootstrap intervals against scipy's and against cases worked by hand."""

import numpy as np
import pytest
from scipy import stats

from cdam_bench.statistics import mean_intervals, standardised_intervals


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
    monkeypatch.setattr("cdam_bench.statistics.resampling.BLOCK", 80 * 700)
    blocks = mean_intervals(scores)
    monkeypatch.undo()
    for block, whole in zip(blocks, mean_intervals(scores), strict=True):
        assert [block.low, block.high] == pytest.approx([whole.low, whole.high], rel=0.02)


def test_standardised_difference_is_the_mean_in_standard_deviations_with_scipys_interval(scores):
    differences = scores[:, :1] - scores[:, 1:]
    for column, found in zip(differences.T, standardised_intervals(differences, resamples=10000), strict=True):
        expected = stats.bootstrap(
            (column,),
            lambda values, axis: values.mean(axis) / values.std(axis, ddof=1),
            n_resamples=10000,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        assert found.mean == pytest.approx(stats.ttest_1samp(column, 0).statistic / np.sqrt(80))
        assert [found.low, found.high] == pytest.approx([*expected], abs=0.04 * (expected.high - expected.low))


def test_interval_of_a_standardised_normal_difference_is_that_of_the_noncentral_t():
    differences = np.random.default_rng(6).normal(0.5, 1, size=(400, 1))
    (found,) = standardised_intervals(differences)
    root = np.sqrt(400)
    grid = np.linspace(0.2, 0.8, 601)
    tails = stats.nct.cdf(found.mean * root, 399, grid * root)
    exact = [grid[np.argmin(np.abs(tails - tail))] for tail in (0.975, 0.025)]
    assert [found.low, found.high] == pytest.approx(exact, abs=0.025)


def test_standardised_difference_has_no_unit_and_leaves_nan_out(scores):
    scores[3, 0] = np.nan
    (own,), (scaled,) = standardised_intervals(scores[:, :1]), standardised_intervals(1000 * scores[:, :1])
    assert [own.mean, own.low, own.high] == pytest.approx([scaled.mean, scaled.low, scaled.high])
    assert own.count == 79


def test_equal_differences_cannot_be_standardised():
    same, none = standardised_intervals(np.array([[2.0, 0.0]] * 5))
    assert np.isnan([same.mean, same.low, same.high, none.mean]).all()


def test_resamples_without_any_difference_count_as_no_difference():
    differences = np.zeros((50, 1))
    differences[0] = 1  # every third resample does not draw it
    (found,) = standardised_intervals(differences)
    assert found.low == 0
    assert found.high == pytest.approx(3 / np.sqrt(47 * 3) * np.sqrt(49 / 50), rel=0.02)  # drawn three times
