"""Training scenes of photographs: they depend on the step alone, and are what the benchmark's preprocessing makes of them."""

import torch
from torch.testing import assert_close

from cdam_bench.datasets.preprocessing import Preprocessing
from cdam_bench.training.recipes.scenes import SceneBatches, augmented

PREPROCESSING = Preprocessing(image_size=64, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2))


def batches(probability=0.0, preprocessing=PREPROCESSING, **changed):
    generator = torch.Generator().manual_seed(0)
    photographs = torch.randint(256, (40, 3, 32, 32), generator=generator, dtype=torch.uint8)
    settings = {
        "quadrants_per_step": 6,
        "scenes_per_step": 4,
        "scenes_from": 10,
        "mosaic_share": 0.5,
        "seed": 0,
        "blur_sigma": 4.0,
        "patch_size": 8,
        "probability": probability,
        "device": torch.device("cpu"),
    }
    return SceneBatches(photographs, torch.arange(40) % 10, preprocessing, **{**settings, **changed})


def test_targets_are_the_classes_in_equal_shares_and_the_same_step_gives_the_same_batch():
    quadrants, targets = batches()(3)
    assert quadrants.shape == (6, 3, 32, 32)
    assert_close(targets.sum(1), torch.ones(6))
    assert_close(targets.max(1).values, torch.ones(6))
    scenes, targets = batches()(12)
    assert scenes.shape == (4, 3, 64, 64)
    assert_close(targets.sum(1), torch.ones(4))
    assert (targets[:2].max(1).values <= 0.75).all()
    assert_close(targets[2:].max(1).values, torch.ones(2))
    assert torch.equal(scenes, batches()(12)[0])
    assert not torch.equal(scenes, batches(seed=1)(12)[0])


def test_every_photograph_comes_once_in_an_epoch():
    source = batches()
    orders = [source._order(epoch) for epoch in (0, 1)]
    assert all(torch.equal(order.sort().values, torch.arange(40)) for order in orders)
    assert not torch.equal(*orders)


def test_an_augmented_photograph_is_the_photograph_mirrored_and_shifted():
    """Of a picture whose colours are coordinates, the inner pixels tell where they came from."""
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    picture = torch.stack([0.3 + rows / 100, 0.3 + columns / 100, torch.full_like(rows, 0.5)])
    changed = augmented(picture[None].repeat(64, 1, 1, 1), torch.Generator().manual_seed(0))
    steps = changed[:, 1, 16, 17] - changed[:, 1, 16, 16]  # contrast, with a sign where it is mirrored
    assert {bool(step > 0) for step in steps} == {True, False}
    contrast = steps.abs() * 100
    assert ((contrast > 0.79) & (contrast < 1.21)).all()
    assert_close(changed[:, 0, 17, 16] - changed[:, 0, 16, 16], contrast / 100, rtol=1e-4, atol=1e-5)


def test_scenes_for_larger_images_are_enlarged_as_the_preprocessing_does_it():
    large = Preprocessing(image_size=112, mean=PREPROCESSING.mean, std=PREPROCESSING.std)
    scenes, targets = batches()(12)
    enlarged, same = batches(preprocessing=large)(12)
    assert torch.equal(targets, same)
    for small, found in zip(scenes, enlarged, strict=True):
        assert_close(found, large(PREPROCESSING.to_pixels(small)), rtol=1e-4, atol=1e-4)
    assert batches(preprocessing=large)(3)[0].shape == (6, 3, 56, 56)
