"""The gallery's images are chosen by a rule that can be checked by hand, and its maps fit into their time."""

import numpy as np
import pytest

from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.page.choosing import affordable, choose_images
from cdam_bench.reporting.page.tables import headline_columns
from tests.reporting.stores import write_cell


@pytest.fixture
def comparison(tmp_path):
    """A_box of image 5 is the worst, of 2 the best; methods differ most on image 7."""
    first, second = np.full(9, 5.0), np.full(9, 5.0)
    first[[5, 2, 7]], second[[5, 2, 7]] = (0, 10, 1), (1, 9, 9)
    for estimator, values in (("cdam", first), ("attention_map", second)):
        write_cell(tmp_path, estimator, {"A_box": values})
    return read_comparisons(tmp_path)[0]


def test_first_worst_best_and_most_disputed_images_come_first_and_say_why(comparison):
    chosen = choose_images(comparison, headline_columns(comparison), 5)
    assert [one.place for one in chosen] == [0, 5, 2, 7, 1]
    assert [one.why for one in chosen] == [
        ["first"],
        ["worst A_box"],
        ["best A_box"],
        ["largest disagreement in A_box"],
        [],
    ]


def test_where_low_is_good_the_worst_image_has_the_highest_score(tmp_path):
    write_cell(tmp_path, "cdam", {"A_MIF_patch": [3, 1, 9, 2], "mean_r": [0, 0, 0, 0]})
    (comparison,) = read_comparisons(tmp_path)
    columns = [column for own in comparison.declared.columns.values() for column in own if column.name == "A_MIF_patch"]
    assert [one.place for one in choose_images(comparison, columns, 3)] == [0, 2, 1]


def test_no_image_is_chosen_twice_and_no_more_than_there_are(comparison):
    places = [one.place for one in choose_images(comparison, headline_columns(comparison), 100)]
    assert sorted(places) == list(range(9))
    assert choose_images(comparison, headline_columns(comparison), 0) == []


def test_images_without_a_score_are_not_chosen_for_it(tmp_path):
    write_cell(tmp_path, "cdam", {"A_box": [np.nan, 2, 1, np.nan]})
    (comparison,) = read_comparisons(tmp_path)
    chosen = {one.place: one.why for one in choose_images(comparison, headline_columns(comparison), 9)}
    assert chosen[2][0] == "worst A_box"
    assert chosen[3] == []


@pytest.mark.parametrize("seconds", [0, 1, 7, 50, 1000])
def test_maps_take_no_more_than_their_time_and_cheap_methods_have_the_same_images(seconds):
    costs = {"a": 0.01, "b": 0.1, "c": 0.5, "d": 0.2, "e": 4.0, "f": 9.0}
    counts = affordable(costs, 24, seconds)
    assert sum(costs[name] * count for name, count in counts.items()) <= seconds
    assert counts["a"] == counts["b"] == counts["c"] == counts["d"] >= counts["e"] >= counts["f"]
    assert max(counts.values()) <= 24


def test_with_time_enough_or_no_known_costs_every_method_explains_every_image():
    assert affordable({"a": 1, "b": 5, "c": 9}, 4, 80) == {"a": 4, "b": 4, "c": 4}
    assert affordable({"a": 0, "b": 0, "c": 0}, 4, 0) == {"a": 4, "b": 4, "c": 4}
