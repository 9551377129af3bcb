"""Plain colours in the units of normalised images: what black and white are once mean and deviation are taken off."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from cdam_bench.errors import UserError

PLAIN = {"black": 0.0, "white": 1.0}  # pixel values in [0, 1]


class Normalised(Protocol):
    """Whatever knows how its images were normalised: a dataset, a preprocessing."""

    mean: Sequence[float]
    std: Sequence[float]


def plain_colour(name: str, normalisation: Normalised | None, argument: str) -> Tensor:
    """A pixel of a plain colour, normalised as the images are.

    Args:
        name: "black" or "white".
        normalisation: mean and standard deviation per channel, for values in [0, 1].
        argument: which asks for it, for the error.
    Returns:
        (3, 1, 1) float32, on the CPU.
    Raises:
        UserError: if nothing is known about the normalisation.
    """
    if normalisation is None:
        raise UserError(
            f"{argument}={name}: the mean and std that the images were normalised with are not known here, and without them "
            f"{name} is not: set backbone.preprocessing (an object with mean and std)"
        )
    mean, std = (torch.tensor(list(map(float, values))) for values in (normalisation.mean, normalisation.std))
    return ((PLAIN[name] - mean) / std)[:, None, None]
