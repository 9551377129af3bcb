"""The ImageNet subsets: chosen by seed, found in every layout, complained about before a run."""

import tarfile

import pytest
import torch

from cdam_bench.datasets import ImageNetMulti, ImageNetRandom, Preprocessing
from cdam_bench.datasets.imagenet import MANIFEST, find_validation_images
from cdam_bench.datasets.imagenet_classes import class_names, real_labels, synonyms, validation_names, wordnet_ids
from cdam_bench.datasets.multi_object import read_manifest, shuffled
from cdam_bench.errors import UserError
from tests.datasets.photographs import REAL, validation_folder

PREPROCESSING = Preprocessing(32, 36)


@pytest.fixture(params=["class folders", "flat", "in imagenet/", "the folder itself", "tar"])
def data_dir(request, tmp_path):
    """A mock copy of the images that the datasets below choose, in each layout."""
    manifest = [entry.file for entry in read_manifest(MANIFEST)][:4]
    names = manifest + shuffled(validation_names(), 0)[:4]
    folder = {"in imagenet/": "imagenet/val", "the folder itself": "."}.get(request.param, "val")
    wnids = wordnet_ids() if request.param == "class folders" else None
    validation_folder(tmp_path / folder, names, wnids)
    if request.param == "tar":
        with tarfile.open(tmp_path / "ILSVRC2012_img_val.tar", "w") as archive:
            for path in sorted((tmp_path / "val").iterdir()):
                archive.add(path, path.name)
                path.unlink()
    return tmp_path


def test_every_layout_gives_the_same_images(data_dir, tmp_path_factory):
    flat = tmp_path_factory.mktemp("flat")
    validation_folder(flat / "val", shuffled(validation_names(), 0)[:4])
    expected = ImageNetRandom(flat, PREPROCESSING, num_images=4)
    dataset = ImageNetRandom(data_dir, PREPROCESSING, num_images=4)
    for index in range(4):
        assert dataset[index].image_id == expected[index].image_id
        torch.testing.assert_close(dataset[index].image, expected[index].image)
        assert dataset[index].image.shape == (3, 32, 32)
        assert dataset[index].targets == ()


def test_multi_object_images_have_the_two_classes_of_the_manifest(data_dir):
    dataset = ImageNetMulti(data_dir, PREPROCESSING, num_images=4)
    entries = read_manifest(MANIFEST)[:4]
    assert [dataset[index].targets for index in range(4)] == [entry.classes for entry in entries]
    assert [f"{dataset[index].image_id}.JPEG" for index in range(4)] == [entry.file for entry in entries]


def test_random_images_depend_on_the_seed_and_nest():
    first, second = shuffled(validation_names(), 0), shuffled(validation_names(), 1)
    assert first == shuffled(list(reversed(validation_names())), 0)
    assert len(set(first[:1000]) & set(second[:1000])) < 100
    assert first[:3] == [f"ILSVRC2012_val_{number:08d}.JPEG" for number in (23564, 33521, 5415)]


def test_missing_images_are_listed_before_the_run(tmp_path):
    names = shuffled(validation_names(), 0)
    validation_folder(tmp_path / "val", names[:2])
    with pytest.raises(UserError, match=rf"^2 of the 4 chosen .* are missing in .*val: {names[2]}, {names[3]};"):
        ImageNetRandom(tmp_path, PREPROCESSING, num_images=4)


def test_folder_without_validation_images_says_where_it_looked(tmp_path):
    with pytest.raises(
        UserError, match=r"looked for val, imagenet/val, .*ILSVRC2012_img_val\.tar.*set paths\.data_dir"
    ):
        find_validation_images(tmp_path, ["ILSVRC2012_val_00000001.JPEG"])


def test_broken_archive_is_an_error(tmp_path):
    (tmp_path / "ILSVRC2012_img_val.tar").write_bytes(b"half of a tar")
    with pytest.raises(UserError, match=r"archive .* cannot be read"):
        ImageNetRandom(tmp_path, PREPROCESSING, num_images=1)


@pytest.mark.parametrize("count", [0, 1001])
def test_impossible_number_of_images_is_refused(tmp_path, count):
    with pytest.raises(UserError, match=rf"num_images={count}: the manifest has 1000 images"):
        ImageNetMulti(tmp_path, PREPROCESSING, num_images=count)


def test_class_names_are_those_of_the_sorted_wordnet_ids():
    assert list(wordnet_ids()) == sorted(wordnet_ids())
    assert synonyms()[0] == ("tench", "Tinca tinca")
    assert (class_names()[207], class_names()[681]) == ("golden retriever", "notebook")


def test_real_labels_have_the_known_counts():
    labels = real_labels()
    assert len(labels) == 50_000
    assert sum(not listed for listed in labels) == 3163
    assert sum(len(set(listed)) > 1 for listed in labels) == 7443


@pytest.mark.skipif(not REAL.is_dir(), reason="no copy of real.json at hand")
def test_real_labels_that_timm_brings_are_those_of_real_json():
    assert real_labels() == real_labels(REAL / "real.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [("[[1], [2]]", "have 2 entries instead of 50000"), ("[[1], ", "cannot be read"), ("7", "expected a list")],
)
def test_wrong_real_json_is_refused(tmp_path, content, message):
    (tmp_path / "real.json").write_text(content)
    with pytest.raises(UserError, match=message):
        real_labels(tmp_path / "real.json")


def test_label_outside_the_classes_is_refused(tmp_path):
    (tmp_path / "real.json").write_text("[" + ", ".join(["[0]"] * 49_999 + ["[1000]"]) + "]")
    with pytest.raises(UserError, match="entry 50000 is not a list of class indices"):
        real_labels(tmp_path / "real.json")
