"""Curves of the paper's figures: means with the right and with the wrong map, on one scale, in lines as in all figures."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from cdam_bench.drawing.families import FAMILIES, MANY
from cdam_bench.drawing.names import PAPERS, display_name
from cdam_bench.reporting.curves import curves_of, lines_figure
from cdam_bench.reporting.dots import score_figure
from cdam_bench.reporting.paper_figures.curves import curve_figure
from tests.drawing.colour_vision import VISIONS, distance
from tests.drawing.test_colour_vision import NEAR
from tests.reporting.paper_figures.explaining import comparisons_of


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    return comparisons_of(tmp_path_factory.mktemp("store"), PAPERS, curves=("fidelity_pixel", "box_r"))[0]


@pytest.fixture(scope="module")
def curves(comparison):
    return curves_of(comparison)


def lines(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_lines_are_means_over_images_with_the_right_and_with_the_wrong_map(comparison, curves):
    stored = {display_name(cell.key.estimator): cell.curves()[0] for cell in comparison.cells}
    for which in (0, 1):
        figure = curve_figure(curves[0], which)
        for j, axes in enumerate(figure.axes):
            assert lines(axes).keys() == stored.keys()
            for name, line in lines(axes).items():
                assert line.get_ydata() == pytest.approx(stored[name]["fidelity_pixel"][:, which, j, :, 0].mean(0))
        (axes,) = curve_figure(curves[1], which).axes
        assert lines(axes)["CDAM"].get_ydata() == pytest.approx(stored["CDAM"]["box_r"][:, which, :, 0].mean(0))


def test_the_right_and_the_wrong_map_have_one_scale_that_holds_both(curves):
    figures = [curve_figure(curves[0], which) for which in (0, 1)]
    (limits,) = {axes.get_ylim() for figure in figures for axes in figure.axes}
    values = np.concatenate([line.get_ydata() for f in figures for axes in f.axes for line in lines(axes).values()])
    assert limits[0] < values.min()
    assert values.max() < limits[1]


def test_a_method_has_the_same_colour_dashes_and_marker_in_every_figure(comparison, curves):
    """Of the paper's figures, the overview of curves and the dots of the scores."""
    drawn = lines(curve_figure(curves[0], 0).axes[0])
    overview = lines(lines_figure(curves[0]).axes[0])
    dots = score_figure(comparison).axes[0]
    marks = dict(
        zip(map(display_name, PAPERS), (line for line in dots.lines if line.get_marker() != "None"), strict=True)
    )
    for name, line in drawn.items():
        look = line.get_color(), line.get_marker()
        assert look == (overview[name].get_color(), overview[name].get_marker())
        assert look == (marks[name].get_color(), marks[name].get_marker())
        assert line.get_linestyle() == overview[name].get_linestyle()


@pytest.mark.parametrize("vision", VISIONS)
def test_lines_as_drawn_that_look_alike_in_colour_differ_in_dashes_or_markers(curves, vision):
    for axes in curve_figure(curves[0], 0).axes:
        for a, b in combinations(lines(axes).values(), 2):
            if distance(to_rgb(a.get_color()), to_rgb(b.get_color()), vision) < NEAR:
                assert (str(a._dash_pattern), a.get_marker()) != (str(b._dash_pattern), b.get_marker())
                assert a.get_markersize() > 0


def test_of_many_methods_every_family_has_panels_of_its_own(tmp_path):
    names = [member for family in FAMILIES for member in family.members]
    assert len(names) > MANY
    (comparison,) = comparisons_of(tmp_path, names, curves=("box_r",))
    figure = curve_figure(curves_of(comparison)[0], 0)
    assert len(figure.axes) == len(FAMILIES)
    assert figure.get_figheight() / figure.get_figwidth() < 22.5 / 16.5  # it has room on a page
