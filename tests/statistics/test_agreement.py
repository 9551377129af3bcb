"""Rank correlations and their two-way intervals against scipy's and literal versions, and whether they cover."""

import numpy as np
import pytest
from scipy import stats

from cdam_bench.statistics import agreement_of_means, agreement_per_image, rank_correlations


def test_rank_correlations_are_scipys_with_and_without_ties():
    rng = np.random.default_rng(4)
    for first, second in (rng.normal(size=(2, 30, 10)), rng.integers(3, size=(2, 30, 10))):
        expected = [stats.spearmanr(a, b).statistic for a, b in zip(first, second, strict=True)]
        assert rank_correlations(first, second) == pytest.approx(expected)


def test_rank_correlation_of_a_constant_row_or_one_with_nan_is_undefined():
    rising = np.array([[1.0, 2, 3], [1, 2, 3], [1, 2, 3]])
    other = np.array([[5.0, 5, 5], [1, np.nan, 2], [9, 8, 7]])
    assert rank_correlations(rising, other) == pytest.approx([np.nan, np.nan, -1], nan_ok=True)


def literal(first, second, statistic, resamples=2000):
    """Two-way bootstrap, one resample after the other, bias-corrected: (observed, low, high)."""
    rng = np.random.default_rng(9)
    images, methods = first.shape
    drawn = []
    for _ in range(resamples):
        rows, columns = rng.integers(images, size=images), rng.integers(methods, size=methods)
        drawn.append(statistic(first[np.ix_(rows, columns)], second[np.ix_(rows, columns)]))
    drawn = np.array(drawn)[np.isfinite(drawn)]
    observed = statistic(first, second)
    share = ((drawn < observed - 1e-9).sum() + (np.abs(drawn - observed) <= 1e-9).sum() / 2) / len(drawn)
    levels = stats.norm.cdf(2 * stats.norm.ppf(share) + stats.norm.ppf([0.025, 0.975]))
    return observed, *np.quantile(drawn, levels)


def of_means(first, second):
    if len(set(first.mean(0).round(12))) < 2:
        return np.nan
    return stats.spearmanr(first.mean(0), second.mean(0)).statistic


def per_image(first, second):
    vary = [i for i in range(len(first)) if np.ptp(first[i]) > 0 and np.ptp(second[i]) > 0]
    return np.mean([stats.spearmanr(first[i], second[i]).statistic for i in vary]) if vary else np.nan


@pytest.fixture(scope="module")
def scores():
    """Two scores (images, methods) that agree somewhat, the second one with ties."""
    rng = np.random.default_rng(5)
    quality = rng.normal(size=8)
    first, second = (quality + 0.8 * rng.normal(size=8) + 1.5 * rng.normal(size=(12, 8)) for _ in range(2))
    return first, second.round()


@pytest.mark.parametrize(("function", "statistic"), [(agreement_of_means, of_means), (agreement_per_image, per_image)])
def test_interval_is_that_of_a_literal_two_way_bootstrap(scores, function, statistic):
    observed, low, high = literal(*scores, statistic, resamples=300 if statistic is per_image else 2000)
    found = function(*scores)
    assert found.mean == pytest.approx(observed)
    assert [found.low, found.high] == pytest.approx([low, high], abs=0.12)


def test_methods_drawn_anew_make_the_interval_wider_than_images_alone_could():
    # means that images leave no doubt about: with the images alone every resample would give the same order
    rng = np.random.default_rng(3)
    quality = rng.normal(size=(2, 10))
    first, second = (one + 1e-6 * rng.normal(size=(50, 10)) for one in quality)
    found = agreement_of_means(first, second)
    assert found.high - found.low > 0.8
    assert found.count == 10


@pytest.mark.parametrize(("methods", "correlation"), [(8, 0.0), (8, 0.8), (20, 0.6)])
def test_interval_covers_the_correlation_among_all_methods_as_often_as_it_says(methods, correlation):
    rng = np.random.default_rng(8)
    true = 6 / np.pi * np.arcsin(correlation / 2)  # Spearman's of a normal pair
    covered = []
    for repetition in range(250):
        quality = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], size=methods).T
        first, second = (one + 2 * rng.normal(size=(100, methods)) for one in quality)
        found = agreement_of_means(first, second, resamples=400, seed=repetition)
        covered.append(found.low <= true <= found.high)
    assert 0.91 <= np.mean(covered) <= 0.985


def test_missing_images_are_left_out_of_a_methods_mean():
    first = np.array([[1.0, 2, 3], [1, 2, 3], [np.nan, 2, 3]])
    second = np.array([[3.0, 2, 1], [3, 2, np.nan], [np.nan, 2, 1]])
    assert agreement_of_means(first, second).mean == pytest.approx(-1)


def test_complete_agreement_of_all_resamples_has_no_interval():
    first = np.array([[1.0, 2, 3, 4]] * 5)
    found = agreement_of_means(first, first)
    assert found.mean == pytest.approx(1)
    assert np.isnan([found.low, found.high]).all()


def test_images_where_a_score_is_constant_or_undefined_are_left_out():
    first = np.array([[1.0, 2, 3, 4], [1, 2, 4, 3], [5, 5, 5, 5], [np.nan, 1, 2, 3]])
    second = np.array([[1.0, 2, 3, 4]] * 4)
    found = agreement_per_image(first, second)
    assert (found.mean, found.count) == (pytest.approx((1 + 0.8) / 2), 2)


def test_two_methods_say_nothing():
    for function in (agreement_of_means, agreement_per_image):
        assert np.isnan(function(np.ones((5, 2)), np.ones((5, 2))).mean)
