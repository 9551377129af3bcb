"""Intervals of proportions against scipy's, against a likelihood maximised by force, and at the border."""

import numpy as np
import pytest
from scipy import optimize, stats

from cdam_bench.statistics import tango_intervals, wilson_intervals

Z = stats.norm.ppf(0.975)


def table(more, fewer, count):
    """Differences of a method that is right alone on `more` images and wrong alone on `fewer`."""
    return np.repeat([1.0, -1.0, 0.0], [more, fewer, count - more - fewer])[:, None]


@pytest.mark.parametrize(("right", "count"), [(300, 300), (299, 300), (0, 7), (1, 1), (41, 100)])
def test_interval_of_a_proportion_is_scipys_wilson(right, count):
    (found,) = wilson_intervals((np.arange(count) < right).astype(float)[:, None])
    expected = stats.binomtest(right, count).proportion_ci(method="wilson")
    assert (found.mean, found.count) == (right / count, count)
    assert [found.low, found.high] == pytest.approx([*expected], abs=1e-12)


def test_always_right_is_not_certainly_always_right():
    (found,) = wilson_intervals(np.ones((300, 1)))
    assert found.low == pytest.approx(300 / (300 + Z**2))  # p = 1 solves Wilson's equation by hand
    assert found.high == 1


def test_ties_count_half_and_undefined_images_not_at_all():
    with_ties, without = wilson_intervals(np.array([[1, 1], [0.5, 1], [0.5, 0], [0, 0], [np.nan, np.nan]]))
    assert vars(with_ties) == vars(without)
    (nothing,) = wilson_intervals(np.full((3, 1), np.nan))
    assert np.isnan([nothing.mean, nothing.low, nothing.high]).all()


def statistic(delta, more, fewer, count):
    """Tango's score statistic, the share of negative differences by maximising the likelihood numerically."""

    def minus_log_likelihood(share):
        shares = np.array([share + delta, share, 1 - 2 * share - delta])
        return -np.sum(np.array([more, fewer, count - more - fewer]) * np.log(np.maximum(shares, 1e-300)))

    low, high = max(0, -delta), (1 - delta) / 2
    share = optimize.minimize_scalar(
        minus_log_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-12}
    ).x
    return (more - fewer - count * delta) / np.sqrt(count * (2 * share + delta - delta**2))


@pytest.mark.parametrize(("more", "fewer", "count"), [(12, 5, 60), (1, 9, 40), (3, 3, 25), (30, 2, 44)])
def test_tangos_ends_are_where_the_score_test_just_rejects(more, fewer, count):
    (found,) = tango_intervals(table(more, fewer, count))
    assert found.mean == pytest.approx((more - fewer) / count)
    assert statistic(found.low, more, fewer, count) == pytest.approx(Z, abs=1e-4)
    assert statistic(found.high, more, fewer, count) == pytest.approx(-Z, abs=1e-4)


def test_no_difference_on_any_image_has_an_interval_worked_by_hand():
    # b = c = 0: (nδ)² = z² n |δ| (1 − |δ|)
    (found,) = tango_intervals(np.zeros((300, 1)))
    end = Z**2 / (300 + Z**2)
    assert [found.low, found.mean, found.high] == pytest.approx([-end, 0, end], abs=1e-9)


def test_tangos_interval_turns_round_with_the_difference_and_leaves_nan_out():
    differences = np.vstack([table(8, 2, 30), [[np.nan]]])
    (one,), (other,) = tango_intervals(differences), tango_intervals(-differences)
    assert [one.low, one.high] == pytest.approx([-other.high, -other.low])
    assert one.count == 30
    (nothing,) = tango_intervals(np.full((3, 1), np.nan))
    assert np.isnan([nothing.mean, nothing.low, nothing.high]).all()


@pytest.mark.parametrize("shares", [(0.02, 0.01), (0.2, 0.1), (0.1, 0.0), (0.5, 0.3)])
def test_tangos_interval_covers_the_true_difference_also_near_the_border(shares):
    rng = np.random.default_rng(7)
    draws = rng.choice([1.0, -1.0, 0.0], p=[*shares, 1 - sum(shares)], size=(50, 3000))
    true = shares[0] - shares[1]
    covered = np.mean([found.low <= true <= found.high for found in tango_intervals(draws)])
    assert covered >= 0.93
