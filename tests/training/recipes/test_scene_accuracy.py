"""Accuracy on scenes of photographs, of models whose accuracy is known."""

import pytest
import torch

from cdam_bench.datasets.preprocessing import Preprocessing
from cdam_bench.training.recipes.scene_accuracy import cifar10_accuracy


def test_accuracy_of_a_model_that_knows_and_of_one_that_guesses():
    """Photographs whose colour is their class; a model that reads the colours of the four quadrants."""
    labels = torch.arange(10).repeat_interleave(100)
    photographs = (labels * 20 + 20).to(torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 3, 32, 32)
    plain = Preprocessing(image_size=64, mean=(0, 0, 0), std=(1, 1, 1))

    def knows(scenes):
        pixels = scenes[:, :, [[8], [40]], [[8, 40]]]  # (B, 3, 2, 2)
        grey = (pixels.amax(1) - pixels.amin(1) < 1e-6).flatten(1)  # backgrounds are coloured
        classes = (pixels[:, 0].flatten(1) * 255 / 20 - 1).round().long().clamp(0, 9)
        return torch.zeros(len(scenes), 10).scatter_add(1, classes, grey.float())

    accuracy = cifar10_accuracy(knows, photographs, labels, plain, torch.device("cpu"))
    assert accuracy == {"single": 1.0, "mosaic": 1.0, "apart": 1.0}
    guess = cifar10_accuracy(
        lambda scenes: torch.arange(10.0).flip(0).expand(len(scenes), 10),
        photographs,
        labels,
        plain,
        torch.device("cpu"),
    )
    assert guess["single"] == pytest.approx(0.1)
    assert guess["mosaic"] == pytest.approx(0.4, abs=0.05)
    assert guess["apart"] == guess["mosaic"]
