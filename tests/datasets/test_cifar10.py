"""The photographs of CIFAR-10 are the same whatever form they come in."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from cdam_bench.datasets import cifar10
from cdam_bench.datasets.cifar10 import CLASS_NAMES, load_photographs
from cdam_bench.errors import UserError
from tests.datasets.cifar10_files import PER_CLASS, REAL, class_folders, needs_real, official, pixels, small, zips


@pytest.fixture(autouse=True)
def few_photographs_offline(monkeypatch):
    small(monkeypatch)

    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", offline)
    yield
    load_photographs.cache_clear()


FORMS = {
    "class folders": lambda root, split, _: class_folders(root, split),
    "one zip": lambda root, split, _: zips(root, split, 1),
    "several zips": lambda root, split, _: zips(root, split, 3),
    "official": lambda root, _, monkeypatch: official(root, monkeypatch),
}


@pytest.mark.parametrize("below", ["cifar10", "."])
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_photographs(form, split, below, tmp_path, monkeypatch):
    FORMS[form](tmp_path / below, split, monkeypatch)
    photographs = load_photographs(tmp_path, split)
    expected = pixels(split).reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)
    assert photographs.images.dtype == torch.uint8
    assert np.array_equal(photographs.images.numpy(), expected)
    assert photographs.labels.tolist() == np.repeat(range(10), PER_CLASS[split]).tolist()
    assert photographs.names[:2] == ("airplane/0000", "airplane/0001")
    assert photographs.names[-1] == f"truck/{PER_CLASS[split] - 1:04d}"


def test_without_data_and_network_one_line_says_what_to_get_and_where_to_put_it(tmp_path):
    with pytest.raises(UserError) as told:
        load_photographs(tmp_path, "test")
    message = str(told.value)
    assert "no network" in message
    assert "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz" in message
    assert str(tmp_path / "cifar10") in message
    assert "paths.data_dir" in message


def test_what_is_missing_is_downloaded_once(tmp_path, monkeypatch):
    downloads = []

    def download(url, root, md5, **_):
        downloads.append((url, md5))
        official(Path(root), monkeypatch)

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", download)
    load_photographs(tmp_path, "test")
    load_photographs(tmp_path, "train")
    dataset = torchvision.datasets.CIFAR10
    assert downloads == [(dataset.url, dataset.tgz_md5)]


def test_official_files_with_another_checksum_are_never_unpickled(tmp_path, monkeypatch):
    folder = official(tmp_path / "cifar10", monkeypatch)
    (folder / "test_batch").write_bytes(b"cos\nsystem\n(S'false'\ntR.")

    def unpickled(*_, **__):
        raise AssertionError("unpickled")

    monkeypatch.setattr("torchvision.datasets.cifar.pickle.load", unpickled)
    with pytest.raises(UserError, match=r"cifar-10-batches-py is incomplete or damaged: delete it"):
        load_photographs(tmp_path, "test")


def test_a_missing_photograph_is_counted(tmp_path):
    (class_folders(tmp_path, "test") / "cat" / "0001.png").unlink()
    with pytest.raises(UserError, match=r"3 test photographs of each class expected, but cat 2: download them again"):
        load_photographs(tmp_path, "test")


def test_a_damaged_photograph_is_named(tmp_path):
    path = class_folders(tmp_path, "test") / "dog" / "0002.png"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match=r"dog/0002\.png in .* cannot be read"):
        load_photographs(tmp_path, "test")


def test_a_damaged_archive_is_named(tmp_path):
    (tmp_path / "test.zip").write_bytes(b"PK and then nothing")
    with pytest.raises(UserError, match=r"test\.zip cannot be read .*: download it again"):
        load_photographs(tmp_path, "test")


def test_a_picture_of_another_size_is_refused(tmp_path):
    from PIL import Image

    Image.new("RGB", (64, 32)).save(class_folders(tmp_path, "test") / "frog" / "0000.png")
    with pytest.raises(UserError, match=r"frog/0000\.png in .*: 64 × 32 pixels instead of 32 × 32"):
        load_photographs(tmp_path, "test")


def test_a_class_that_is_none_is_named(tmp_path):
    folder = class_folders(tmp_path, "test")
    (folder / "ship").rename(folder / "boat")
    with pytest.raises(UserError, match=r"'boat' is no class of CIFAR-10 \(airplane, .*truck\)"):
        load_photographs(tmp_path, "test")


def test_an_unknown_split_is_told(tmp_path):
    with pytest.raises(UserError, match=r"split=valid is unknown: use one of train, test"):
        load_photographs(tmp_path, "valid")


@needs_real
def test_the_real_test_photographs_are_complete_and_look_like_photographs(monkeypatch):
    monkeypatch.setattr(cifar10, "PER_CLASS", {"test": 1000})
    photographs = load_photographs(REAL, "test")
    assert photographs.images.shape == (10000, 3, 32, 32)
    assert photographs.labels.bincount().tolist() == [1000] * len(CLASS_NAMES)
    values = photographs.images.float() / 255
    assert values.mean((0, 2, 3)).tolist() == pytest.approx([0.494, 0.485, 0.450], abs=0.005)
    neighbours = (values[..., 1:] - values[..., :-1]).abs().mean()
    assert neighbours < 0.3 * values.std()  # white noise: 1.13 times its standard deviation
