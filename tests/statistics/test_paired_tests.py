"""Paired tests against scipy's and against cases worked by hand, and the correction for many of them."""

import numpy as np
import pytest
from scipy import stats

from cdam_bench.statistics import holm, num_flips, paired_p_values, smallest_p_value


@pytest.fixture
def scores():
    return np.random.default_rng(1).gamma(2.0, 30.0, size=(80, 3))


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
        assert paired_p_values(differences[:, None], flips=20000)[0] == pytest.approx(expected.pvalue, abs=tolerance)


def test_paired_test_rejects_as_often_as_it_says_where_there_is_no_difference():
    nothing = np.random.default_rng(3).laplace(size=(40, 2000))
    assert np.mean(paired_p_values(nothing, flips=1000) <= 0.05) == pytest.approx(0.05, abs=0.015)


def test_equal_methods_do_not_differ():
    assert paired_p_values(np.zeros((50, 1))) == 1


def test_holm_worked_by_hand():
    # sorted 0.01, 0.02, 0.03, 0.04 × 4, 3, 2, 1 = 0.04, 0.06, 0.06, 0.04 → never falling: 0.04, 0.06, 0.06, 0.06
    assert holm(np.array([0.03, 0.01, 0.04, 0.02])) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm(np.array([0.5, 0.9])) == pytest.approx([1, 1])


def test_of_yes_and_no_the_sign_flip_test_is_mcnemars_exact_test():
    for more, fewer, count in ((9, 2, 14), (14, 4, 60), (7, 0, 40)):  # exact, random, random
        differences = np.repeat([1.0, -1.0, 0.0], [more, fewer, count - more - fewer])
        expected = stats.binomtest(more, more + fewer).pvalue
        assert paired_p_values(differences[:, None])[0] == pytest.approx(expected, rel=0.04)


def test_signs_in_blocks_are_all_counted(scores, monkeypatch):
    differences = scores[:, :2] - scores[:, 2:] + 5
    whole = paired_p_values(differences, flips=20000)
    monkeypatch.setattr("cdam_bench.statistics.resampling.BLOCK", 80 * 700)
    assert paired_p_values(differences, flips=20000) == pytest.approx(whole, abs=0.01)
    certain = paired_p_values(np.ones((80, 1)), flips=20000)
    assert certain == 1 / 20001


def test_corrected_together_the_smallest_p_value_stays_far_below_five_percent():
    for tests in (1, 150, 500, 5000, 100_000):
        flips = num_flips(tests)
        assert smallest_p_value(300, flips) * tests <= 0.005
    assert paired_p_values(np.ones((300, 1)), num_flips(1))[0] == smallest_p_value(300, num_flips(1))
    assert paired_p_values(np.ones((6, 1)))[0] == smallest_p_value(6, num_flips(1)) == 2 / 64


def test_holm_keeps_the_shape_of_its_family():
    family = np.array([[0.03, 0.01], [0.04, 0.02]])
    assert holm(family) == pytest.approx(np.array([[0.06, 0.04], [0.06, 0.06]]))
    assert holm(np.empty(0)).shape == (0,)
