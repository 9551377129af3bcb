"""Curves are drawn as their metrics declare them: means over images of the right and of the wrong map, with bands."""

import numpy as np
import pytest

from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.curves import arranged, curve_figures, curves_of
from cdam_bench.statistics import mean_intervals
from cdam_bench.store.columns import Curve
from tests.reporting.stores import CURVES, PERCENT, SIZES, declared, write_cell

SCORES = {"A_MIF": np.arange(6.0)}
MINE = Curve(
    "depth",
    {"layer": [1, 2, 3], "ranked_by": [], "recorded": []},
    x="layer",
    x_label="layer of the network",
    y_label="agreement",
    title="my curve",
    file="my_figure",
)


def figures_of(store):
    (comparison,) = read_comparisons(store)
    return dict(curve_figures(comparison))


def panel(figure, index):
    """Lines with a label in a panel: label → y values."""
    return {line.get_label(): line.get_ydata() for line in figure.axes[index].lines if line.get_label()[0] != "_"}


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]


def note_of(figure):
    return " ".join(figure.legends[0].get_title().get_text().split())


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    for estimator in ("gradcam", "cdam", "my_method"):
        write_cell(store, estimator, SCORES, targets=2)
    write_cell(store, "smoothgrad", SCORES, targets=2, done=4)
    return store


@pytest.fixture(scope="module")
def figures(store):
    return figures_of(store)


def test_every_curve_has_its_figure_and_those_with_a_gap_one_per_method(figures):
    names = ["fidelity_pixel", "fidelity_pixel_methods", "fidelity_patch", "fidelity_patch_methods", "box_sensitivity"]
    assert list(figures) == names


def test_lines_are_means_over_images_of_the_right_and_of_the_wrong_map(store, figures):
    (comparison,) = read_comparisons(store)
    curves = comparison.complete_cells[0].curves()[0]
    figure = figures["fidelity_pixel"]
    for ranked_by in (0, 1):
        for order in (0, 1):
            expected = curves["fidelity_pixel"][:, ranked_by, order, :, 0].mean(0)
            assert panel(figure, 2 * ranked_by + order)["CDAM"] == pytest.approx(expected)
    sensitivity = figures["box_sensitivity"]
    for map_of in (0, 1):
        assert panel(sensitivity, map_of)["CDAM"] == pytest.approx(curves["box_r"][:, map_of, :, 0].mean(0))


def test_panels_are_named_by_the_metric_and_by_whose_map_it_is(figures):
    assert titles(figures["fidelity_pixel"]) == [
        f"{order} important first ({short})\nwith {which} map"
        for which in ("the target’s own", "the other class’s")
        for order, short in (("Most", "MIF"), ("Least", "LIF"))
    ]
    assert titles(figures["box_sensitivity"]) == ["The target’s own map", "The other class’s map"]


def test_a_figure_says_what_the_band_is_of_how_many_images_and_what_is_left_out(figures):
    for figure in figures.values():
        assert note_of(figure) == (
            "Mean over 6 images; bands: 95 % bootstrap interval over images. "
            "Not finished, and not shown: SmoothGrad (4 of 6 images)."
        )


def test_the_band_is_the_bootstrap_interval(store, figures):
    (comparison,) = read_comparisons(store)
    curves = comparison.complete_cells[0].curves()[0]
    interval = mean_intervals(curves["box_r"][:, 0, :1, 0])[0]
    band = figures["box_sensitivity"].axes[0].collections[0].get_paths()[0].vertices
    at_the_first_size = band[band[:, 0] == SIZES[0], 1]
    assert (at_the_first_size.min(), at_the_first_size.max()) == pytest.approx((interval.low, interval.high))


def test_unfinished_cells_have_no_line(figures):
    assert list(panel(figures["fidelity_patch"], 0)) == ["CDAM", "GradCAM", "my_method"]


def test_the_figure_by_method_has_a_panel_each_and_the_other_map_in_broken_lines(figures):
    figure = figures["fidelity_pixel_methods"]
    assert titles(figure) == ["CDAM", "GradCAM", "my_method"]
    assert list(panel(figure, 0)) == [
        f"{order}, {which} map"
        for order in ("Most important first (MIF)", "Least important first (LIF)")
        for which in ("the target’s own", "the other class’s")
    ]


def test_one_target_has_no_panel_for_the_wrong_map(tmp_path):
    write_cell(tmp_path, "cdam", SCORES)
    figures = figures_of(tmp_path)
    assert len(figures["fidelity_pixel"].axes) == 2
    assert len(figures["box_sensitivity"].axes) == 1


def test_another_concept_is_not_called_a_class(tmp_path):
    write_cell(tmp_path, "cdam", SCORES, targets=2, outputs="concepts")
    assert titles(figures_of(tmp_path)["box_sensitivity"])[1] == "The other concept’s map"


def test_undefined_values_are_left_out_of_the_curve_and_told(tmp_path):
    values = np.full((2, 1, len(SIZES), 1), np.nan)
    values[0] = 0.25
    write_cell(tmp_path, "cdam", {"A_MIF": np.ones(2)}, curves={"box_r": values})
    figure = figures_of(tmp_path)["box_sensitivity"]
    assert panel(figure, 0)["CDAM"] == pytest.approx([0.25] * len(SIZES))
    assert "Images where a value is undefined are left out" in note_of(figure)


def test_a_curve_of_ones_own_is_drawn_as_it_is_declared(tmp_path):
    values = np.random.default_rng(0).normal(size=(6, 3, 2, 2))
    write_cell(tmp_path, "cdam", SCORES, curves={"depth": values}, metrics=declared(curves=(MINE,)))
    figure = figures_of(tmp_path)["my_figure"]
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_xlim()) == ("layer of the network", "agreement", (1, 3))
    assert figure.get_suptitle() == "digits · digits_vit: my curve"
    assert panel(figure, 1)["CDAM"] == pytest.approx(values[:, :, 1, 0].mean(0))


def test_a_curve_without_an_axis_to_be_drawn_along_is_not_drawn(tmp_path):
    curve = Curve("depth", {"layer": [1, 2, 3]})
    write_cell(tmp_path, "cdam", SCORES, curves={"depth": np.ones((6, 3))}, metrics=declared(curves=(curve,)))
    assert curves_of(read_comparisons(tmp_path)[0]) == []


def test_axes_may_come_in_any_order_and_what_is_none_of_them_is_averaged():
    curve = Curve(
        "a", {"x": [0, 1], "draw": [0, 1, 2], "ranked_by": [], "recorded": [], "side": ["l", "r"]}, "x", panels="side"
    )
    array = np.random.default_rng(0).normal(size=(5, 2, 3, 4, 4, 2))
    expected = array[:, :, :, 0, 0, 1].mean(2)  # (images, x) of the own map, right side
    assert arranged(curve, array).shape == (5, 1, 2, 2)  # of four targets the own map alone
    assert arranged(curve, array)[:, 0, 1] == pytest.approx(expected)


def test_made_up_curves_have_the_shape_that_the_metrics_declare(store):
    (comparison,) = read_comparisons(store)
    shapes = {c.curve.name: c.values["cdam"].shape[2:] for c in curves_of(comparison)}
    assert shapes == {
        "fidelity_pixel": (2, len(PERCENT)),
        "fidelity_patch": (2, len(PERCENT)),
        "box_r": (1, len(SIZES)),
    }
    assert set(shapes) == set(CURVES)
