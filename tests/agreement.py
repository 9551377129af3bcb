"""How close two results are, map by map."""

import torch


def relative_errors(actual, expected):
    """The larger of the norm-wise and the largest-element relative error of every map: (...,) for maps (..., H, W).

    Two maps of zeros agree; anything else is infinitely far from a map of zeros.
    """
    actual, expected = torch.as_tensor(actual).detach().double(), torch.as_tensor(expected).detach().double()
    assert actual.shape == expected.shape
    axes = tuple(range(-min(2, actual.ndim), 0))
    difference = actual - expected
    by_norm = torch.linalg.vector_norm(difference, dim=axes) / torch.linalg.vector_norm(expected, dim=axes)
    by_element = difference.abs().amax(axes) / expected.abs().amax(axes)
    return torch.maximum(by_norm, by_element).nan_to_num(
        nan=0 if actual.isfinite().all() else torch.inf, posinf=torch.inf
    )


def assert_agree(actual, expected, tolerance=1e-4):
    """Every map (the last two axes) agrees on its own, so that a large one cannot hide a small one."""
    errors = relative_errors(actual, expected)
    assert (errors <= tolerance).all(), f"relative errors up to {errors.max():.2e}, allowed {tolerance:.0e}"
