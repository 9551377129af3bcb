"""Figures look the same whatever the user's settings, and are the same bytes every time."""

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from cdam_bench.drawing.style import METADATA, rendered, styled


def drawn():
    with styled():
        figure = Figure(figsize=(2, 1))
        figure.add_subplot().plot([0, 1, 3])
    return figure


@pytest.mark.parametrize("extension", METADATA)
def test_a_figure_is_the_same_bytes_whatever_the_users_settings(extension):
    before = rendered(drawn(), extension)
    with mpl.rc_context({"lines.linewidth": 7, "font.size": 20, "axes.facecolor": "red"}):
        assert rendered(drawn(), extension) == before


def test_the_users_settings_are_as_they_were_afterwards():
    before = dict(mpl.rcParams)
    rendered(drawn(), "png")
    assert dict(mpl.rcParams) == before
