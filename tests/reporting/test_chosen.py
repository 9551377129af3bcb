"""`estimators=[…]` says which methods are drawn."""

import numpy as np
import pytest

from cdam_bench.errors import UserError
from cdam_bench.reporting.chosen import with_estimators
from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.figures import comparison_figures
from tests.reporting.stores import write_cell

SCORES = {"A_MIF": np.arange(6.0)}


@pytest.fixture(scope="module")
def comparisons(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    for estimator in ("gradcam", "cdam", "my_method"):
        write_cell(store, estimator, SCORES, curves=())
    write_cell(store, "cdam", SCORES, dataset="digits_multi", curves=())
    return read_comparisons(store)


def estimators(comparisons):
    return [[cell.key.estimator for cell in comparison.cells] for comparison in comparisons]


def test_the_chosen_methods_alone_stand_in_their_usual_order(comparisons):
    assert estimators(with_estimators(comparisons, ["my_method", "cdam"])) == [["cdam", "my_method"], ["cdam"]]
    assert with_estimators(comparisons, None) == comparisons


def test_comparisons_without_any_of_them_are_left_out(comparisons):
    chosen = with_estimators(comparisons, ["gradcam"])
    assert estimators(chosen) == [["gradcam"]]
    ((_, figure),) = comparison_figures(chosen[0], [])
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["GradCAM"]


def test_a_name_that_is_not_there_is_told_with_the_nearest_in_one_line(comparisons):
    with pytest.raises(UserError, match=r"estimators=gradcm: .*did you mean gradcam\?.*cdam, gradcam, my_method$"):
        with_estimators(comparisons, ["cdam", "gradcm"])
