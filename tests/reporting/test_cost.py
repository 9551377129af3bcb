"""The figure of cost: what is cheaper and better stands on the front, at the costs that were measured."""

import json

import numpy as np
import pytest
import yaml

from cdam_bench.errors import UserError
from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.cost import cost_captions, cost_figures, costs_of, pareto_front, read_speeds
from cdam_bench.statistics import mean_intervals
from tests.reporting.stores import write_cell

RAMP = np.arange(6.0)
MEANS = {"cdam": 5.0, "gradcam": 2.0, "smoothgrad": 4.0}  # added to RAMP
SECONDS = {"cdam": 0.25, "gradcam": 0.05, "smoothgrad": 1.0}


def timed(cell, seconds):
    """A cell whose maps took so long, as a run keeps it."""
    file = cell.path / "cell.yaml"
    about = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**about, "explaining": {"seconds": 1.0, "seconds_per_image": seconds}}))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    for name, mean in MEANS.items():
        cell = write_cell(store, name, {"delta_A_box": RAMP + mean}, curves=())
        timed(cell, SECONDS[name])
    write_cell(store, "my_old_cell", {"delta_A_box": RAMP}, curves=())
    return store


@pytest.fixture(scope="module")
def comparison(store):
    return read_comparisons(store)[0]


def write_speed(path, backbone, **ratios):
    settings = {"architecture": "vit_tiny", "image_size": 64, "backbone": backbone}
    report = {"settings": settings, "explanations": {name: {"ratio": ratio} for name, ratio in ratios.items()}}
    path.write_text(json.dumps(report))


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_points_are_means_with_intervals_at_the_seconds_that_the_cells_kept(comparison):
    ((name, figure),) = cost_figures(comparison, [])
    assert name == "cost"
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_xlabel()) == ("log", "seconds per image")
    dots = {(*line.get_xdata(), *line.get_ydata()) for line in axes.lines if line.get_marker() != "None"}
    assert dots == {(SECONDS[one], RAMP.mean() + MEANS[one]) for one in MEANS}
    (interval,) = mean_intervals((RAMP + MEANS["cdam"])[:, None])
    bars = [line.get_ydata() for line in axes.lines if list(line.get_xdata()) == [SECONDS["cdam"]] * 2]
    assert list(bars[0]) == pytest.approx([interval.low, interval.high])
    assert set(texts(figure)) == {"CDAM", "GradCAM", "SmoothGrad"}


def test_cells_without_the_time_of_their_maps_are_named_in_the_note(comparison):
    seconds, *_ = costs_of(comparison, [])
    assert seconds.values == SECONDS
    assert "no time of their maps was kept: my_old_cell" in seconds.note


def test_the_front_is_what_nothing_cheaper_is_as_good_as():
    costs = {"a": 1.0, "b": 1.0, "c": 2.0, "d": 3.0, "e": 4.0}
    assert pareto_front(costs, {"a": 5.0, "b": 6.0, "c": 6.0, "d": 9.0, "e": 8.0}) == ["b", "d"]


def test_the_front_is_drawn_in_steps(comparison):
    ((_, figure),) = cost_figures(comparison, [])
    front = next(line for line in figure.axes[0].lines if len(line.get_xdata()) == 3)
    points = list(zip(front.get_xdata(), front.get_ydata(), strict=True))
    assert points == [(0.05, 4.5), (0.25, 4.5), (0.25, 7.5)]  # GradCAM, then CDAM; SmoothGrad is dearer and worse


def test_forward_passes_are_of_the_networks_own_report_or_else_of_a_bare_network(store, comparison):
    write_speed(store / "speed.json", None, cdam=1.0, smoothgrad=150.0)
    write_speed(store / "speed_other.json", "another_vit", cdam=7.0, smoothgrad=7.0)
    assert costs_of(comparison, read_speeds(store))[1].values == {"cdam": 1.0, "smoothgrad": 150.0}
    write_speed(store / "speed_own.json", "digits_vit", cdam=2.0, gradcam=3.0, rise=1000.0)
    _, passes = costs_of(comparison, read_speeds(store))
    assert passes.values == {"cdam": 2.0, "gradcam": 3.0}
    assert "Not timed, and not shown: SmoothGrad, my_old_cell" in passes.note
    assert [name for name, _ in cost_figures(comparison, read_speeds(store))] == ["cost", "cost_passes"]


def test_a_damaged_report_is_told_in_one_line(tmp_path):
    (tmp_path / "speed.json").write_text("[1, 2")
    with pytest.raises(UserError, match=r"speed\.json is not what `cdam-bench measure speed` writes"):
        read_speeds(tmp_path)


def test_without_class_discrimination_or_a_second_method_there_is_none(tmp_path):
    timed(write_cell(tmp_path, "cdam", {"A_MIF": RAMP}, curves=()), 1.0)
    timed(write_cell(tmp_path, "cdam", {"delta_A_box": RAMP}, dataset="digits_multi", curves=()), 1.0)
    one_target, one_method = read_comparisons(tmp_path)
    assert list(cost_figures(one_target, [])) == []
    assert cost_captions(one_target) == {}
    assert list(cost_figures(one_method, [])) == []
