"""A figure at another width is the same figure, larger or smaller."""

import io

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from cdam_bench.drawing.sizes import fitted
from cdam_bench.drawing.style import styled

INCHES, DPI = 4.0, 200


def drawn():
    with styled():
        figure = Figure(figsize=(INCHES, 3))
        axes = figure.add_axes((0.15, 0.3, 0.8, 0.6))
        axes.plot([0, 1, 2], [0, 3, 1], "o--", label="a line", markersize=6)
        axes.fill_between([0, 1, 2], [0, 2, 0], alpha=0.2)
        axes.scatter([0.5, 1.5], [1, 2], s=60, linewidths=2)
        axes.text(1, 0.3, "inside", bbox={"pad": 3})
        axes.set(xlabel="along", ylabel="up")
        figure.text(0.02, 0.95, "a title", fontsize=13)
        figure.legend(loc="lower center", frameon=False)
    return figure


def pixels(figure, dpi):
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format="png", dpi=dpi)
    buffer.seek(0)
    return matplotlib.image.imread(buffer)[..., :3]


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_fitted_figure_at_the_inverse_resolution_has_the_same_pixels(factor):
    before = pixels(drawn(), DPI)
    after = pixels(fitted(drawn(), factor * INCHES * 2.54), DPI / factor)
    assert before.shape == after.shape
    ink = (before.mean(-1) < 0.9).mean()
    # letters are placed on whole pixels: some edges differ
    assert np.abs(before - after).mean() < 0.05 * ink
    unscaled = drawn()
    unscaled.set_size_inches(factor * INCHES, factor * 3)
    assert np.abs(before - pixels(unscaled, DPI / factor)).mean() > 2 * np.abs(before - after).mean()


@pytest.mark.parametrize("width", [8.3, 16.5])
def test_the_width_is_the_one_asked_for(width):
    figure = fitted(drawn(), width)
    assert figure.get_figwidth() * 2.54 == pytest.approx(width)
    assert figure.get_figheight() / figure.get_figwidth() == pytest.approx(3 / INCHES)
    (title,) = figure.texts
    assert title.get_fontsize() == pytest.approx(13 * width / 2.54 / INCHES)
