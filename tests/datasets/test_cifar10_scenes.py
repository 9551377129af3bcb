"""Scenes of photographs: every one is where its box says, and depends on its seed and place alone."""

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file

from cdam_bench.backbones import create_vit
from cdam_bench.configs import config_dir
from cdam_bench.datasets import Cifar10, Cifar10Grid, Preprocessing
from cdam_bench.datasets.cifar10 import CLASS_NAMES, load_photographs
from cdam_bench.datasets.cifar10_scenes import COLOUR_GRID, backgrounds_of, mosaics, quadrant_boxes, singles
from cdam_bench.errors import UserError
from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.figures import write_figures
from tests.datasets.cifar10_files import class_folders, small
from tests.runs import cdam_bench

PLAIN = Preprocessing(64, mean=[0.0] * 3, std=[1.0] * 3)


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    small(monkeypatch)
    class_folders(tmp_path / "data" / "cifar10", "test")
    yield tmp_path / "data"
    load_photographs.cache_clear()


def crop(image, box):
    top, left, bottom, right = box.tolist()
    return image[..., top:bottom, left:right]


def test_a_mosaic_holds_every_photograph_in_its_quadrant():
    photographs = torch.randint(256, (3, 4, 3, 32, 32), dtype=torch.uint8)
    scenes = mosaics(photographs)
    assert scenes.shape == (3, 3, 64, 64)
    for quadrant, box in enumerate(quadrant_boxes()):
        assert torch.equal(crop(scenes, box), photographs[:, quadrant])


def test_a_single_holds_its_photograph_in_its_quadrant_and_the_background_elsewhere():
    photographs, backgrounds = torch.rand(4, 3, 32, 32), torch.rand(4, 3, 64, 64)
    scenes = singles(photographs, torch.arange(4), backgrounds)
    for quadrant, box in enumerate(quadrant_boxes()):
        assert torch.equal(crop(scenes[quadrant], box), photographs[quadrant])
        for other, elsewhere in enumerate(quadrant_boxes()):
            if other != quadrant:
                assert torch.equal(crop(scenes[quadrant], elsewhere), crop(backgrounds[quadrant], elsewhere))


def test_backgrounds_are_smooth_and_have_8_bit_values():
    fields = backgrounds_of(0.25 + 0.5 * torch.rand(20, *COLOUR_GRID))
    assert torch.equal((fields * 255).round() / 255, fields)
    assert (fields[..., 1:] - fields[..., :-1]).abs().max() < 0.1
    assert (fields.std((2, 3)) > 0.02).all()


def test_the_photograph_of_a_single_is_in_its_box(data_dir):
    photographs = load_photographs(data_dir, "test")
    dataset = Cifar10(data_dir, PLAIN, num_images=30, annotated=True)
    quadrants, names = set(), []
    for i in range(len(dataset)):
        sample = dataset[i]
        names.append(sample.image_id.split("-", 2)[2])
        place = photographs.names.index(names[-1])
        assert torch.equal(crop(sample.image, sample.boxes[0]), photographs.images[place] / 255)
        assert sample.targets == (photographs.labels[place].item(),)
        quadrants.add(tuple(sample.boxes[0].tolist()))
    assert len(set(names)) == len(names) == len(photographs.names)  # 30: each of them once
    assert len(quadrants) == 4


def test_the_targets_of_a_mosaic_are_in_their_boxes_and_its_four_classes_differ(data_dir):
    photographs = load_photographs(data_dir, "test")
    known = {picture.numpy().tobytes(): label for picture, label in zip(*photographs_in(photographs), strict=True)}
    dataset = Cifar10Grid(data_dir, PLAIN, num_images=40)
    seen = set()
    for i in range(len(dataset)):
        sample = dataset[i]
        classes = [known[crop(sample.image, box).contiguous().numpy().tobytes()] for box in quadrant_boxes()]
        assert len(set(classes)) == 4
        for target, box in zip(sample.targets, sample.boxes, strict=True):
            assert known[crop(sample.image, box).contiguous().numpy().tobytes()] == target
        seen |= {(target, tuple(box.tolist())) for target, box in zip(sample.targets, sample.boxes, strict=True)}
    assert len({target for target, _ in seen}) == len(CLASS_NAMES)
    assert len({box for _, box in seen}) == 4


def photographs_in(photographs):
    return photographs.images / 255, photographs.labels.tolist()


@pytest.mark.parametrize("kind", [Cifar10, Cifar10Grid])
def test_a_scene_depends_on_seed_and_index_alone(kind, data_dir):
    few, many = kind(data_dir, PLAIN, num_images=3, seed=5), kind(data_dir, PLAIN, num_images=20, seed=5)
    assert torch.equal(few[2].image, many[2].image)
    assert few[2].image_id == many[2].image_id
    assert not torch.equal(few[2].image, few[1].image)
    assert not torch.equal(few[2].image, kind(data_dir, PLAIN, num_images=3, seed=6)[2].image)
    with pytest.raises(IndexError):
        few[3]


@pytest.mark.parametrize("kind", [Cifar10, Cifar10Grid])
def test_scenes_are_resized_with_their_boxes_for_a_larger_backbone(kind, data_dir):
    small_one = kind(data_dir, PLAIN, num_images=30)
    large = kind(data_dir, Preprocessing(128), num_images=30)
    assert large[0].image.shape == (3, 128, 128)
    assert torch.equal(large[0].boxes, small_one[0].boxes * 2)


@pytest.mark.parametrize("kind", [Cifar10, Cifar10Grid])
def test_boxes_are_those_of_the_picture_that_is_left_after_the_crop(kind, data_dir):
    whole, cropped = kind(data_dir, PLAIN, num_images=1)[0], kind(data_dir, Preprocessing(48, 64), num_images=1)[0]
    assert torch.equal(cropped.boxes, (whole.boxes - 8).clamp(0, 48))


@pytest.mark.parametrize("kind", [Cifar10, Cifar10Grid])
@pytest.mark.parametrize("settings", [{"num_images": 0}, {"seed": -1}])
def test_impossible_settings_are_named(kind, settings, data_dir):
    with pytest.raises(UserError, match=next(iter(settings))):
        kind(data_dir, PLAIN, **settings)


def test_more_scenes_than_photographs_are_refused(data_dir):
    with pytest.raises(UserError, match=r"^num_images=31: there are 30 photographs"):
        Cifar10(data_dir, PLAIN, num_images=31)


@pytest.fixture
def weights_dir(tmp_path):
    """A network of the backbone's shape with random weights, in the file the configuration names."""
    config = OmegaConf.load(config_dir() / "backbone" / "cifar10_vit.yaml")
    vit = create_vit(config.architecture, config.num_classes, config.image_size, config.model_args)
    (tmp_path / "weights").mkdir()
    save_file(vit.state_dict(), tmp_path / "weights" / config.checkpoint)
    return tmp_path / "weights"


def test_both_datasets_run_end_to_end(data_dir, weights_dir, tmp_path):
    results = tmp_path / "results"
    folders = (f"paths.data_dir={data_dir}", f"paths.weights_dir={weights_dir}")
    few = ("dataset.num_images=2", "metric.fidelity.steps=2", "metric.box_sensitivity.num_boxes=4")
    for dataset, estimators in (("cifar10", ["cdam"]), ("cifar10_grid", ["cdam", "attention_map", "input_x_gradient"])):
        for estimator in estimators:
            assert cdam_bench(results, f"dataset={dataset}", f"estimator={estimator}", *folders, *few) == 0
    single, mosaic = read_comparisons(results)
    assert (single.backbone, mosaic.backbone) == ("cifar10_vit", "cifar10_vit")
    assert (single.cells[0].scores["box_area"] == 0.25).all()
    scores = {cell.key.estimator: cell.scores for cell in mosaic.cells}
    assert (scores["attention_map"]["delta_A_LIF-MIF"] == 0).all()
    # blind to the class: what points at one target does not point at the other
    assert (scores["attention_map"]["right_box"] + scores["attention_map"]["other_right_box"] == 1).all()
    assert scores["input_x_gradient"]["positive_share"].between(0, 1).all()
    written, problems = write_figures([mosaic], tmp_path / "figures", 1, *this_machine(data_dir, weights_dir))
    assert problems == []
    assert tmp_path / "figures" / "cifar10_grid" / "cifar10_vit" / "maps.png" in written


def this_machine(data_dir, weights_dir):
    paths = OmegaConf.create({"data_dir": str(data_dir), "weights_dir": str(weights_dir)})
    return paths, OmegaConf.create({"device": "cpu", "batch_size": "auto"})


def test_without_photographs_a_run_says_in_one_line_what_to_get(tmp_path, weights_dir, monkeypatch, capsys):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", offline)
    folders = (f"paths.data_dir={tmp_path / 'nothing'}", f"paths.weights_dir={weights_dir}")
    assert cdam_bench(tmp_path / "results", "dataset=cifar10_grid", *folders) == 2
    told = capsys.readouterr().err.strip()
    assert "\n" not in told
    assert "cifar-10-python.tar.gz" in told
    assert str(tmp_path / "nothing" / "cifar10") in told
    assert not (tmp_path / "results" / "cells").exists()
