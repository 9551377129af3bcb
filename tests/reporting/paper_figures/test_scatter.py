"""CDAM against attention: a point per token, and the correlation within images."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from cdam_bench.drawing.grids import Explained
from cdam_bench.reporting.paper_figures.scatter import correlation, scatter, tokens_of


def image_with(attention, cdam):
    """Both (targets, h, w), shown with tokens of 4 pixels."""
    maps = {"attention_map": np.kron(attention, np.ones((1, 4, 4))), "cdam": np.kron(cdam, np.ones((1, 4, 4)))}
    targets = [f"class {k}" for k in range(len(cdam))]
    return Explained("a", np.zeros((32, 24, 3)), targets, [0.0] * len(targets), None, maps)


@pytest.fixture(scope="module")
def tokens():
    rng = np.random.default_rng(1)
    attention = rng.uniform(size=(3, 2, 8, 6))
    return attention, attention * rng.normal(size=(3, 2, 8, 6))


@pytest.mark.parametrize("side", [1, 4, 14])
def test_tokens_are_found_in_a_map_whatever_their_size(side):
    scores = np.random.default_rng(0).normal(size=(6, 9))
    assert tokens_of(np.kron(scores, np.ones((side, side)))) == pytest.approx(scores.ravel())


def test_a_panel_per_target_has_a_point_per_token_hollow_where_it_speaks_against_the_class(tokens):
    images = [image_with(attention, cdam) for attention, cdam in zip(*tokens, strict=True)]
    for k, axes in enumerate(scatter(images).axes):
        points = [one for one in axes.collections if isinstance(one, PathCollection)]
        filled, hollow = (np.asarray(one.get_offsets()) for one in points)
        expected = np.stack([tokens[0][:, k].ravel(), tokens[1][:, k].ravel()], 1)
        assert np.sort(filled, 0) == pytest.approx(np.sort(expected[expected[:, 1] >= 0], 0))
        assert np.sort(hollow, 0) == pytest.approx(np.sort(expected[expected[:, 1] < 0], 0))
        assert points[1].get_facecolor()[0, :3] == pytest.approx([1, 1, 1])


def test_the_correlation_is_the_mean_over_images_of_pearsons_r_with_the_magnitude(tokens):
    images = [image_with(attention, cdam) for attention, cdam in zip(*tokens, strict=True)]
    values = []
    for attention, cdam in zip(tokens[0][:, 0], np.abs(tokens[1][:, 0]), strict=True):
        x, y = attention.ravel() - attention.mean(), cdam.ravel() - cdam.mean()
        values.append((x @ y) / np.sqrt((x @ x) * (y @ y)))
    interval = correlation(images, 0)
    assert interval.mean == pytest.approx(np.mean(values))
    assert interval.low <= interval.mean <= interval.high
    constant = image_with(np.ones((2, 8, 6)), tokens[1][0])
    assert correlation([*images, constant], 0).count == 3


def test_one_target_has_one_panel(tokens):
    assert len(scatter([image_with(tokens[0][0][:1], tokens[1][0][:1])]).axes) == 1
