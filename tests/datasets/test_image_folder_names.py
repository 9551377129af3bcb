"""Class names of an image folder: the model's, ImageNet's or the sub-folders', without being told."""

import copy

import pytest
import torch
from torch import nn

from cdam_bench.backbones import Backbone, ConceptHead
from cdam_bench.configs import build_dataset, compose
from cdam_bench.datasets import ImageFolder, Preprocessing
from cdam_bench.datasets.class_names import all_names, is_imagenet
from cdam_bench.datasets.imagenet_classes import class_names, synonyms, wordnet_ids
from cdam_bench.errors import UserError
from tests.conftest import random_vit
from tests.datasets.test_image_folder import put

PREPROCESSING = Preprocessing(32)


@pytest.fixture(scope="module")
def tiny():
    return Backbone(random_vit(depth=1))


@pytest.fixture
def model(tiny):
    """A backbone with so many outputs, and the names that it brings."""

    def make(count, names=None):
        made = copy.copy(tiny.with_head(nn.Linear(tiny.embed_dim, count)))
        made.class_names = names
        return made

    return make


def found(folder, backbone, **settings):
    """Class names, and image → targets."""
    dataset = ImageFolder(folder, PREPROCESSING, backbone=backbone, **settings)
    return dataset.class_names, {dataset.names[i]: dataset.targets[i] for i in range(len(dataset))}


def test_names_are_the_models_whatever_order_the_sub_folders_have(tmp_path, model):
    folder = put(tmp_path, "bus/a.jpg", "zebra crossing/b.jpg")
    names, targets = found(folder, model(3, ("zebra crossing", "tram", "bus")))
    assert names == ("zebra crossing", "tram", "bus")
    assert targets == {"bus/a.jpg": (2,), "zebra crossing/b.jpg": (0,)}


@pytest.mark.parametrize("name", ["Zebra Crossing", "zebra_crossing", "0", "crosswalk"])
def test_a_sub_folder_may_write_a_class_otherwise(tmp_path, model, name):
    _, targets = found(put(tmp_path, f"{name}/a.jpg"), model(2, ("zebra crossing, crosswalk", "bus")))
    assert targets == {f"{name}/a.jpg": (0,)}


def test_sub_folders_that_are_no_classes_of_the_model_are_told_with_its_classes(tmp_path, model):
    folder = put(tmp_path, "zebra/a.jpg", "unicorn/b.jpg")
    with pytest.raises(
        UserError, match=r"folder .*unicorn: class 'unicorn' .*the model's classes are zebra, bus; .*set class"
    ):
        found(folder, model(2, ("zebra", "bus")))


def test_sub_folders_name_the_outputs_of_a_model_without_names_if_there_are_as_many(tmp_path, model):
    names, targets = found(put(tmp_path, "zebra/a.jpg", "bus/b.jpg"), model(2))
    assert names == ("bus", "zebra")
    assert targets == {"bus/b.jpg": (0,), "zebra/a.jpg": (1,)}


def test_another_number_of_sub_folders_than_of_outputs_is_told(tmp_path, model):
    with pytest.raises(UserError, match=r"2 sub-folders \(bus, zebra\), but the model has 3 outputs without names"):
        found(put(tmp_path, "zebra/a.jpg", "bus/b.jpg"), model(3))


def test_numbered_sub_folders_are_indices_of_outputs(tmp_path, model):
    names, targets = found(put(tmp_path, "2/a.jpg", "10/b.jpg"), model(12))
    assert names == tuple(map(str, range(12)))
    assert targets == {"2/a.jpg": (2,), "10/b.jpg": (10,)}


def test_pictures_beside_each_other_need_no_sub_folders(tmp_path, model):
    names, targets = found(put(tmp_path, "a.jpg", "drafts/b.jpg"), model(3))
    assert (names, targets) == (("0", "1", "2"), {"a.jpg": ()})


@pytest.mark.parametrize("own", [None, class_names(), wordnet_ids(), [", ".join(listed) for listed in synonyms()]])
def test_a_thousand_outputs_are_imagenets_by_every_name(tmp_path, model, own):
    folder = put(tmp_path, "African elephant/a.jpg", "n02391049/b.jpg", "Tinca tinca/c.jpg")
    names, targets = found(folder, model(1000, own))
    assert names[340] == "zebra"
    assert sorted(targets.values()) == [(0,), (340,), (386,)]


def test_other_thousand_names_are_not_imagenets():
    assert not is_imagenet([str(index) for index in range(1000)])
    assert is_imagenet(class_names())


def test_a_part_between_commas_that_two_classes_share_names_none_of_them():
    assert all_names(["Paris, Texas", "Paris, France", "Rome"]) == [
        ("Paris, Texas", "Texas"),
        ("Paris, France", "France"),
        ("Rome",),
    ]


def test_a_list_of_names_has_the_last_word_and_as_many_as_the_model_has_outputs(tmp_path, model):
    folder = put(tmp_path, "bus/a.jpg")
    names, targets = found(folder, model(2, ("zebra", "tram")), class_names=["tram", "bus"])
    assert (names, targets) == (("tram", "bus"), {"bus/a.jpg": (1,)})
    with pytest.raises(UserError, match=r"class_names=\[tram, bus\]: 2 names, but the model has 3 outputs"):
        found(folder, model(3), class_names=["tram", "bus"])


def test_the_sub_folders_can_be_asked_for(tmp_path, model):
    names, _ = found(put(tmp_path, "bus/a.jpg", "cat/b.jpg"), model(2, ("zebra", "tram")), class_names="folders")
    assert names == ("bus", "cat")


def test_concepts_are_no_classes_of_a_folder(tmp_path, tiny):
    concepts = tiny.with_head(ConceptHead(torch.zeros(3, tiny.embed_dim), names=["a", "b", "c"]))
    names, _ = found(put(tmp_path, "bus/a.jpg", "cat/b.jpg"), concepts)
    assert names == ("bus", "cat")


@pytest.mark.parametrize("kind", ["classes", "labels"])
def test_a_head_that_names_its_classes_names_them_for_the_folder(kind, tmp_path, model):
    backbone = model(2, ("zebra", "tram"))
    backbone.head.names, backbone.head.output_kind = ("tram", "bus"), kind
    assert found(put(tmp_path, "bus/a.jpg"), backbone) == (("tram", "bus"), {"bus/a.jpg": (1,)})


def test_a_csv_names_classes_of_the_model(tmp_path, model):
    put(tmp_path, "train/a.jpg")
    (tmp_path / "t.csv").write_text("file,target,other\ntrain/a.jpg,bus,zebra\n")
    _, targets = found(tmp_path, model(2, ("zebra", "bus")), targets_csv=tmp_path / "t.csv")
    assert targets == {"train/a.jpg": (1, 0)}


def test_the_command_line_gives_the_folder_its_model(tmp_path, model):
    folder = put(tmp_path, "bus/a.jpg")
    config = compose(["dataset=image_folder", f"dataset.folder={folder}"])
    assert build_dataset(config, PREPROCESSING, model(2, ("tram", "bus"))).targets == [(1,)]
