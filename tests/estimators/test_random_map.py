"""The random map: noise that depends on the image's seed and the target, and on nothing else."""

import torch

from cdam_bench.estimators import RandomMap
from tests.conftest import random_images


def test_the_random_map_depends_on_the_seed_and_the_target_alone(backbone, targets, seeds):
    one, other = (RandomMap().attribute(backbone, random_images(2, seed), targets, seeds) for seed in (1, 2))
    assert torch.equal(one, other)


def test_random_maps_of_two_targets_two_seeds_are_not_correlated(backbone, images):
    targets = torch.arange(7).expand(2, -1)
    maps = RandomMap().token_scores(backbone, images, targets, torch.tensor([0, 1])).reshape(14, -1)
    correlation = torch.corrcoef(maps) - torch.eye(14)
    assert correlation.abs().max() < 0.75  # 24 tokens: 0.2 is one standard deviation
    assert correlation.mean().abs() < 0.05


def test_random_maps_are_uniform(backbone):
    images, seeds = random_images(50), torch.arange(50)
    maps = RandomMap().token_scores(backbone, images, torch.zeros(50, dtype=torch.long), seeds)
    assert maps.min() >= 0
    assert maps.max() < 1
    quarters = torch.histc(maps, 4, 0, 1) / maps.numel()
    torch.testing.assert_close(quarters, torch.full((4,), 0.25), atol=0.05, rtol=0)
