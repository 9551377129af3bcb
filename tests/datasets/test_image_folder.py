"""The user's own images, in folders or by a CSV."""

import pytest

from cdam_bench.datasets import ImageFolder, Preprocessing
from cdam_bench.errors import UserError
from tests.datasets.photographs import drawn

PREPROCESSING = Preprocessing(32)


def put(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        drawn().save(folder / name)
    return folder


def table(path, *rows):
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("name", ["golden retriever", "n02099601", "207"])
def test_sub_folder_named_by_class_wordnet_id_or_index_gives_the_target(tmp_path, name):
    dataset = ImageFolder(put(tmp_path, f"{name}/a.jpg", "tench/b.png"), PREPROCESSING)
    assert {dataset[i].image_id: dataset[i].targets for i in range(2)} == {f"{name}/a.jpg": (207,), "tench/b.png": (0,)}
    assert dataset.class_names[207] == "golden retriever"


def test_images_beside_each_other_have_no_target(tmp_path):
    dataset = ImageFolder(put(tmp_path, "a.jpg", "b.jpg"), PREPROCESSING)
    assert [dataset[i].targets for i in range(len(dataset))] == [(), ()]
    assert dataset[0].image.shape == (3, 32, 32)


def test_names_of_sub_folders_are_the_classes_where_no_model_is_known(tmp_path):
    dataset = ImageFolder(put(tmp_path, "zebra crossing/a.jpg", "bus/b.jpg"), PREPROCESSING)
    assert dataset.class_names == ("bus", "zebra crossing")
    assert [dataset[i].targets for i in range(2)] == [(0,), (1,)]


def test_numbers_of_sub_folders_are_indices(tmp_path):
    dataset = ImageFolder(put(tmp_path, "2/a.jpg", "10/b.jpg"), PREPROCESSING)
    assert {dataset[i].image_id: dataset[i].targets for i in range(2)} == {"2/a.jpg": (2,), "10/b.jpg": (10,)}


def test_csv_gives_two_targets(tmp_path):
    put(tmp_path, "a.jpg", "b.jpg")
    rows = table(tmp_path / "t.csv", "file,target,other", "a.jpg,African elephant,zebra", "b.jpg,violin,French horn")
    dataset = ImageFolder(tmp_path, PREPROCESSING, targets_csv=rows)
    assert [dataset[i].targets for i in range(2)] == [(386, 340), (889, 566)]


def test_some_of_the_images_by_seed(tmp_path):
    put(tmp_path, *(f"{i}.jpg" for i in range(9)))
    chosen = [ImageFolder(tmp_path, PREPROCESSING, num_images=3, seed=seed).names for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("file,target", "a.jpg,zebr"), r"line 2: class 'zebr' is unknown: did you mean zebra"),
        (("file,target", "a.jpg,1000"), r"line 2: class '1000' is unknown"),
        (("file,target,other", "a.jpg,1,2", "b.jpg,1,"), r"line 3: 1 targets, but 2 above"),
        (("file,target,other", "a.jpg,tench,0"), r"line 2: target and other are the same class"),
        (("name,class", "a.jpg,1"), r"columns name, class; expected file, target"),
        (("file,target", "gone.jpg,1"), r"1 of 1 images cannot be read: .*gone\.jpg \(missing\)"),
        (("file,target",), r"no images in"),
    ],
)
def test_wrong_csv_is_told_by_line(tmp_path, rows, message):
    put(tmp_path, "a.jpg", "b.jpg")
    with pytest.raises(UserError, match=message):
        ImageFolder(tmp_path, PREPROCESSING, targets_csv=table(tmp_path / "t.csv", *rows))


def test_unknown_class_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=r"folder .*unicorns: class 'unicorns' is unknown"):
        ImageFolder(put(tmp_path, "unicorns/a.jpg"), PREPROCESSING, class_names="imagenet")


def test_unknown_word_for_the_names_is_refused(tmp_path):
    with pytest.raises(UserError, match="class_names=cifar is unknown: use imagenet, folders, a list"):
        ImageFolder(put(tmp_path, "a.jpg"), PREPROCESSING, class_names="cifar")


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=r"^folder=.*gone not found"):
        ImageFolder(tmp_path / "gone", PREPROCESSING)
