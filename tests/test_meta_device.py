"""Right for CUDA without one: on the `meta` device an operation that mixes devices, or reads a value back, fails.

Weights, images, targets, boxes and masks are there; seeds stay on the CPU, where generators are seeded. No method is left out. Two
functions are replaced, each the only one of its kind: the one that draws normal noise on a device (there is no generator for
`meta`), and the one that reads back which rankings of an image are equal (the number of forward passes depends on it).
"""

import copy
from types import SimpleNamespace

import pytest
import torch
import yaml

from cdam_bench.backbones import Backbone
from cdam_bench.backbones.contrast import Contrast
from cdam_bench.configs import choices, compose, config_dir, instantiate, plain
from cdam_bench.estimators import CDAM, noise
from cdam_bench.metrics import Subject, perturbation
from tests.conftest import IMAGE_SIZE, NUM_CLASSES, random_vit

META = torch.device("meta")
FEW = {"num_samples": 3, "num_steps": 3, "num_passes": 60, "internal_batch_size": 16, "steps": 4, "num_boxes": 3}


@pytest.fixture
def backbone(monkeypatch):
    def no_noise(shape, seed, device):
        assert device == META
        assert isinstance(seed, int)
        return torch.empty(shape, device=device)

    monkeypatch.setattr(noise, "standard_normal", no_noise)
    monkeypatch.setattr(
        perturbation, "first_equal_of", lambda ranks: torch.arange(ranks.shape[1]).expand(len(ranks), -1)
    )
    made = Backbone(copy.deepcopy(random_vit(reg_tokens=4))).to(META)
    made.preprocessing = SimpleNamespace(mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))  # for black and white
    return made


@pytest.fixture
def images():
    return torch.empty(2, 3, *IMAGE_SIZE, device=META)


@pytest.fixture
def targets():
    return torch.empty(2, 2, dtype=torch.long, device=META)


def with_few(settings, key):
    """What settings describe, with small numbers."""
    return instantiate({**settings, **{name: FEW[name] for name in FEW if name in settings}}, key)


@pytest.fixture(scope="module")
def all_metrics():
    """Settings of every metric that has a file, for a backbone of 64 × 64 pixels."""
    return plain(compose([f"metric=[{','.join(choices('metric'))}]"]).metric)


@pytest.mark.parametrize("name", choices("estimator"))
def test_an_estimator_neither_mixes_devices_nor_reads_values_back(backbone, images, targets, name):
    settings = yaml.safe_load((config_dir() / "estimator" / f"{name}.yaml").read_text(encoding="utf-8"))
    maps = with_few(settings, "estimator").attribute(backbone, images, targets, torch.tensor([1, 2]))
    assert maps.shape == (2, 2, *IMAGE_SIZE)
    assert maps.device == META


def test_a_contrast_chosen_on_the_cpu_is_explained_on_the_device(backbone, images):
    other, numbers = Contrast().applied(backbone, torch.randn(2, NUM_CLASSES), torch.tensor([[0, 1], [2, 3]]))
    assert CDAM().attribute(other, images, numbers).shape == (2, 2, *IMAGE_SIZE)


@pytest.mark.parametrize("unit", perturbation.UNITS)
@pytest.mark.parametrize("order", perturbation.ORDERS)
def test_the_perturbation_loop_neither_mixes_devices_nor_reads_values_back(backbone, images, order, unit):
    maps = torch.empty(2, 2, *IMAGE_SIZE, device=META)
    curves = perturbation.perturbation_curves(backbone, images, maps, order, 5, 2.0, unit)
    assert curves.shape == (2, 2, 6, NUM_CLASSES)
    assert curves.device == META


@pytest.mark.parametrize("name", choices("metric"))
def test_a_metric_neither_mixes_devices_nor_reads_values_back(backbone, images, targets, all_metrics, name):
    metric = with_few(all_metrics[name], f"metric.{name}")
    boxes = torch.empty(2, 2, 4, dtype=torch.long, device=META)
    masks = torch.empty(2, *IMAGE_SIZE, dtype=torch.bool, device=META)
    subject = Subject(
        backbone,
        images,
        targets,
        torch.tensor([1, 2]),
        boxes,
        masks,
        normalisation=SimpleNamespace(mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)),
        other_images=lambda: torch.empty_like(images),
    )
    subject.shared.update(metric.prepare(subject))
    measurement = metric.measure(subject, torch.empty(2, 2, *IMAGE_SIZE, device=META))
    assert measurement.scores
    assert {values.device for values in (measurement.scores | measurement.curves).values()} == {META}
