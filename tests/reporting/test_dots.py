"""The figure of scores shows every compared column with the numbers of the tables."""

import numpy as np
import pytest

from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.dots import score_figure
from cdam_bench.statistics import mean_intervals
from tests.reporting.stores import write_cell

SCORES = {"A_MIF": np.arange(6.0), "compactness": np.linspace(0, 1, 6), "wrong_A_box": np.ones(6)}


@pytest.fixture(scope="module")
def figure(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    for shift, estimator in enumerate(("gradcam", "cdam")):
        write_cell(store, estimator, {name: values + shift for name, values in SCORES.items()})
    write_cell(store, "my_method", SCORES, done=4)
    return score_figure(read_comparisons(store)[0])


def panel(figure, title):
    return next(axes for axes in figure.axes if axes.get_title(loc="left") == title)


def test_there_is_a_panel_for_every_compared_column_with_its_good_direction(figure):
    assert [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()] == ["A_MIF ←", "compactness"]


def test_dots_are_means_and_lines_their_intervals(figure):
    axes = panel(figure, "A_MIF ←")
    places = {text.get_text(): place for place, text in enumerate(axes.get_yticklabels())}
    (expected,) = mean_intervals((SCORES["A_MIF"] + 1)[:, None])
    own = [line for line in axes.lines if line.get_ydata()[0] == places["CDAM"]]
    ends, dot = sorted((line.get_xdata() for line in own), key=len, reverse=True)
    assert list(ends) == pytest.approx([expected.low, expected.high])
    assert list(dot) == pytest.approx([expected.mean])


def test_an_unfinished_method_is_hollow_and_says_how_many_images_it_has(figure):
    axes = panel(figure, "A_MIF ←")
    assert [text.get_text() for text in axes.get_yticklabels()] == ["CDAM", "GradCAM", "my_method (4 of 6)"]
    faces = [line.get_markerfacecolor() for line in axes.lines if line.get_marker() != "None"]
    assert [face == "white" for face in faces] == [False, False, True]
    note = " ".join(figure.get_supxlabel().split())
    assert note.startswith("Mean over 6 or 4 of 6 images with its 95 % bootstrap interval over images")
    assert "Hollow: not finished" in note


def test_without_a_compared_column_there_is_no_figure(tmp_path):
    write_cell(tmp_path, "cdam", {"wrong_A_box": np.ones(4)})
    assert score_figure(read_comparisons(tmp_path)[0]) is None
