"""CDAM against attention: shares of the heads, and the gradient at the values."""

import numpy as np
import pytest
import torch

from cdam_bench.estimators import CDAM, AttentionMap
from cdam_bench.explaining.attention import correlation, head_shares


@pytest.fixture
def found(backbone, images):
    return head_shares(backbone, images[0], 3)


def test_the_shares_of_the_heads_add_up_to_cdam(backbone, images, found):
    expected = CDAM().token_scores(backbone, images[:1], torch.tensor([3]))[0].flatten()
    np.testing.assert_allclose(found.shares.sum(0), expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))


def test_the_attention_of_the_heads_averages_to_the_attention_map(backbone, images, found):
    expected = AttentionMap().token_scores(backbone, images[:1], torch.tensor([3]))[0].flatten()
    np.testing.assert_allclose(found.attention.mean(0), expected, rtol=1e-4)


def test_the_gradient_at_the_values_is_exactly_proportional_to_attention(found):
    """By autograd, in every head: ‖∂f/∂v_i‖ / A_i is one number."""
    ratios = found.value_gradients / found.attention
    np.testing.assert_allclose(ratios, np.broadcast_to(ratios[:, :1], ratios.shape), rtol=1e-4)


def test_correlation_is_pearsons():
    x, y = np.random.default_rng(0).normal(size=(2, 50))
    assert correlation(x, x + y) == pytest.approx(np.corrcoef(x, x + y)[0, 1])
    assert np.isnan(correlation(x, np.ones(50)))
