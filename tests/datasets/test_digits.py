"""Digit scenes are what they say: reproducible, annotated, and fair."""

import pytest
import torch

from cdam_bench.backbones.preprocessing import TimmPreprocessing
from cdam_bench.datasets import DigitScenes, Preprocessing, digits
from cdam_bench.datasets.digits import glyphs, render_scenes
from cdam_bench.errors import UserError

PREPROCESSING = Preprocessing(64, mean=[0.5] * 3, std=[0.25] * 3)


def test_train_and_test_digits_are_disjoint():
    train, test = (glyphs(split)[0].flatten(1) for split in ("train", "test"))
    assert len(train) + len(test) == 1797
    assert (torch.cdist(test, train).min(1).values > 0).all()


def test_a_scene_depends_on_its_own_seed_alone():
    alone = render_scenes([(0, 7)], 2, "test")
    among = render_scenes([(0, 3), (5, 1), (0, 7)], 2, "test")
    assert all(torch.equal(one[0], many[2]) for one, many in zip(alone, among, strict=True))


def test_seed_split_and_index_change_the_scene():
    base = DigitScenes(1, PREPROCESSING, seed=0)[0].image
    assert not torch.equal(base, DigitScenes(1, PREPROCESSING, seed=1)[0].image)
    assert not torch.equal(base, DigitScenes(1, PREPROCESSING, split="train")[0].image)
    assert not torch.equal(base, DigitScenes(1, PREPROCESSING)[1].image)


def test_two_object_scenes_have_two_classes_in_boxes_that_do_not_overlap():
    dataset = DigitScenes(2, PREPROCESSING, num_images=200)
    for index in range(len(dataset)):
        sample = dataset[index]
        first, second = sample.targets
        assert first != second
        assert (sample.boxes[:, :2] >= 0).all()
        assert (sample.boxes[:, 2:] <= 64).all()
        assert (sample.boxes[:, 2:] - sample.boxes[:, :2] > 4).all()
        overlap = torch.minimum(*sample.boxes[:, 2:]) - torch.maximum(*sample.boxes[:, :2])
        assert overlap.min() <= 2  # strokes may reach a pixel past their square


def test_the_digit_is_inside_its_box():
    """Changing which digit is pasted changes pixels inside its box and nowhere else."""
    import numpy as np

    from cdam_bench.datasets import digits as module

    plan = module._plan_scene(np.random.default_rng(3), 1, glyphs("test")[1].numpy(), clutter=1.0)
    stacked = {name: torch.from_numpy(np.stack([value])) for name, value in plan.items()}
    alpha = module._glyph_masks(stacked, "test")[0, 0]
    top, left, bottom, right = module._boxes_of(alpha > 0.5).tolist()
    outside = alpha.clone()
    outside[top:bottom, left:right] = 0
    assert outside.max() <= 0.5 < alpha.max()


def test_scenes_have_no_noise_from_pixel_to_pixel():
    """The background of a scene differs little between neighbouring pixels compared with white noise of its range."""
    pictures, _, _ = render_scenes([(0, i) for i in range(50)], 1, "test")
    steps = (pictures[..., 1:] - pictures[..., :-1]).abs().mean((1, 2, 3))
    spread = pictures.std((1, 2, 3))
    assert (steps < 0.35 * spread).all()  # white noise: 1.13 times its standard deviation


def test_scenes_are_resized_with_their_boxes_for_a_larger_backbone():
    small = DigitScenes(2, PREPROCESSING)[0]
    large = DigitScenes(2, Preprocessing(128))[0]
    assert large.image.shape == (3, 128, 128)
    assert torch.equal(large.boxes, small.boxes * 2)


@pytest.mark.parametrize(
    "preprocessing",
    [TimmPreprocessing(112, 0.875), TimmPreprocessing(64, 0.9), Preprocessing(96, 112)],
    ids=["timm", "timm of the same size", "resize and crop"],
)
def test_boxes_hold_the_digit_of_the_picture_that_is_left_after_the_crop(preprocessing, monkeypatch):
    """The digit is what a scene without it lacks."""
    dataset = DigitScenes(1, preprocessing, num_images=12)
    samples = [dataset[i] for i in range(len(dataset))]
    masks = digits._glyph_masks
    monkeypatch.setattr(digits, "_glyph_masks", lambda plan, split: 0 * masks(plan, split))
    for i, sample in enumerate(samples):
        grounds, _, _ = render_scenes([(0, i)], 1, "test")
        digit = preprocessing.to_pixels(sample.image) - preprocessing.to_pixels(preprocessing(grounds[0]))
        seen = digit.abs().amax(0) > 0.25
        rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
        found = torch.stack([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])
        assert (found - sample.boxes[0]).abs().max() <= 3  # strokes fade over a pixel or two


def test_a_digit_that_is_cropped_away_is_an_error():
    dataset = DigitScenes(1, Preprocessing(16, 64), num_images=100)
    with pytest.raises(UserError, match=r"cuts an annotated object off: crop less \(backbone\.preprocessing\.resize"):
        [dataset[i] for i in range(len(dataset))]


@pytest.mark.parametrize("settings", [{"num_images": 0}, {"num_objects": 3}, {"seed": -1}, {"split": "valid"}])
def test_impossible_settings_are_named(settings):
    with pytest.raises(UserError, match=next(iter(settings))):
        DigitScenes(**{"num_objects": 1, "preprocessing": PREPROCESSING, **settings})
