"""Curves of many methods: each family in panels of its own, the others behind."""

import numpy as np
import pytest

from cdam_bench.drawing.families import FAMILIES, MANY
from cdam_bench.drawing.names import display_name
from cdam_bench.reporting.small_multiples import BEHIND, Column, Labels, family_figure
from tests.drawing.overlaps import troubles

NAMES = [*(member for family in FAMILIES for member in family.members), "token_norm"]
X = [0.0, 50.0, 100.0]
LABELS = Labels("digits · digits_vit: a curve", "blurred pixels (%)", "target logit", "Mean over 6 images.")


def columns(count):
    rng = np.random.default_rng(0)
    bands = [{name: (mean := rng.normal(size=3), mean - 0.1, mean + 0.1) for name in NAMES} for _ in range(count)]
    titles = ["Most important first (MIF)\nwith the target’s own map", "Least important first (LIF)"] * 2
    return [Column(title, band) for title, band in zip(titles, bands, strict=False)]


@pytest.mark.parametrize("count", [1, 4])
def test_every_family_has_a_row_with_its_members_and_all_others_behind(count):
    given = columns(count)
    figure = family_figure(given, X, LABELS)
    assert len(NAMES) > MANY
    assert len(figure.axes) == (len(FAMILIES) + 1) * count
    first = figure.axes[count - 1]
    own = {line.get_label(): line for line in first.lines if line.get_color() != BEHIND}
    assert list(own) == [display_name(name) for name in FAMILIES[0].members]
    assert list(own["CDAM"].get_ydata()) == list(given[-1].bands["cdam"][0])
    assert len(first.lines) == len(NAMES)
    assert {axes.get_ylim() for axes in figure.axes} == {first.get_ylim()}


@pytest.mark.parametrize("count", [1, 4])
def test_every_method_is_named_once_and_no_text_is_cut_or_overlaps(count):
    figure = family_figure(columns(count), X, LABELS)
    named = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert sorted(named) == sorted(map(display_name, NAMES))
    for axes in figure.axes:  # tick labels that are not shown
        for tick in axes.get_xticklabels():
            tick.set_text(tick.get_text() if axes.get_xlabel() else "")
    assert troubles(figure) == []
