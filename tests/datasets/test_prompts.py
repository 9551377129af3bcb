"""Class names for text heads: given, in a file, ImageNet's, or the data set's."""

import pytest

from cdam_bench.datasets.digits import CLASS_NAMES
from cdam_bench.datasets.imagenet_classes import class_names as imagenet_names
from cdam_bench.datasets.prompts import TextClasses
from cdam_bench.errors import UserError

PATH = "owner/model"


def names(**options):
    return TextClasses(PATH, **options).class_names


def test_names_are_a_list_or_the_lines_of_a_file(tmp_path):
    assert names(class_names=["cat", "dog"]) == ["cat", "dog"]
    (tmp_path / "names.txt").write_text("grey owl\n\n  fox \n")
    assert names(class_names=str(tmp_path / "names.txt")) == ["grey owl", "fox"]


def test_without_names_they_are_the_data_sets(tmp_path):
    for name in ("dog", "cat", ".hidden"):
        (tmp_path / name).mkdir()
    assert names(dataset="cdam_bench.datasets.ImageFolder", folder=str(tmp_path)) == ["cat", "dog"]
    assert names(dataset="cdam_bench.datasets.DigitScenes") == list(CLASS_NAMES)
    assert names(dataset="cdam_bench.datasets.ImageNetRandom") == list(imagenet_names())
    assert names(class_names="imagenet") == list(imagenet_names())
    assert names(class_names="folders", folder=str(tmp_path)) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "there is no data set"),
        ({"class_names": []}, "give every class a name of its own"),
        ({"class_names": ["cat", "cat"]}, "give every class a name of its own"),
        ({"class_names": "names.txt"}, "class_names=names.txt not found"),
        ({"class_names": ["cat", 3]}, "must be text"),
        ({"class_names": ["cat"], "templates": ["a photo"]}, "must have {} once"),
        ({"dataset": "cdam_bench.datasets.ImageFolder", "folder": "."}, "does not say its classes|no sub-folders"),
    ],
)
def test_names_that_cannot_be_are_told_in_one_line(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        TextClasses(PATH, **options)


def test_a_backbone_without_text_is_told():
    with pytest.raises(UserError, match="backbone=hf"):
        TextClasses(None, class_names=["cat"])
