"""Blurring: the curves are the network's outputs for the very pictures that are shown."""

import numpy as np
import pytest
import torch

from cdam_bench.app.answers import answer
from cdam_bench.app.blurring import blurring
from cdam_bench.app.examples import example
from cdam_bench.app.questions import Question

DIGITS = example("digits_4_9")


@pytest.fixture(scope="module")
def found(desk):
    answered = answer(Question(methods=("cdam", "attention_map")), DIGITS, {}, desk.models)
    return answered, blurring(answered, DIGITS, {}, desk.models, 4)


@pytest.mark.parametrize("step", range(5))
def test_a_curve_holds_the_outputs_of_the_pictures_that_are_shown(step, found, desk):
    answered, blurred = found
    model = desk.models.get("digits_vit")
    for row, (_, name) in enumerate(blurred.names):
        mask = blurred.blurred_at[row][..., None] <= step  # what the page does
        shown = np.where(mask, blurred.pixels, answered.explanation.pixels)
        image = model.preprocessing.normalised(torch.from_numpy(shown).permute(2, 0, 1).float())
        with torch.no_grad():
            outputs = model.backbone.logits(image[None])[0]
        assert blurred.curves[row, step] == pytest.approx(float(outputs[int(name)]), abs=2e-2)


def test_whole_patches_are_blurred_the_highest_on_the_map_first(found):
    answered, blurred = found
    for row, (method, name) in enumerate(blurred.names):
        m = answered.explanation.maps[method][name]
        first = blurred.blurred_at[row] == 1
        assert first.mean() == 0.25  # 16 of 64 patches in the first of 4 steps
        assert m[first].min() >= m[~first].max()
        assert (first.reshape(8, 8, 8, 8).any((1, 3)) == first.reshape(8, 8, 8, 8).all((1, 3))).all()
