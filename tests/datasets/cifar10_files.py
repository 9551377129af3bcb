"""Small stand-ins for CIFAR-10 in each form it comes in, and the photographs themselves where they are at hand."""

import hashlib
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image

from cdam_bench.datasets import cifar10
from cdam_bench.datasets.cifar10 import CLASS_NAMES

PER_CLASS = {"train": 4, "test": 3}
REAL = Path(__file__).parents[3] / "shared" / "data" / "cifar10"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="no CIFAR-10 at hand")


def small(monkeypatch):
    """Expect a few photographs of each class instead of thousands."""
    monkeypatch.setattr(cifar10, "PER_CLASS", PER_CLASS)
    cifar10.load_photographs.cache_clear()


def pixels(split):
    """(classes, photographs, 32, 32, 3) uint8, random."""
    rng = np.random.default_rng(len(split))
    return rng.integers(256, size=(len(CLASS_NAMES), PER_CLASS[split], 32, 32, 3), dtype=np.uint8)


def class_folders(root, split):
    """PNGs in class folders."""
    for name, members in zip(CLASS_NAMES, pixels(split), strict=True):
        (root / split / name).mkdir(parents=True)
        for number, picture in enumerate(members):
            Image.fromarray(picture).save(root / split / name / f"{number:04d}.png")
    return root / split


def zips(root, split, parts):
    """Zips of class folders, each with some of the pictures of every class; one part: `<split>.zip`."""
    files = sorted(class_folders(root / "unzipped", split).glob("*/*.png"))
    for part in range(parts):
        with zipfile.ZipFile(root / (f"{split}.zip" if parts == 1 else f"{split}_{part}.zip"), "w") as archive:
            for file in files:
                if int(file.stem) % parts == part:
                    archive.write(file, file.relative_to(root / "unzipped"))


def official(root, monkeypatch):
    """`cifar-10-batches-py` as torchvision reads it, with a file per split and classes that take turns."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    listed = {}
    for split, name in (("train", "data_batch_1"), ("test", "test_batch")):
        members = pixels(split).swapaxes(0, 1)  # (photographs, classes, …)
        data = members.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2).reshape(-1, 3072)
        content = pickle.dumps({"data": data, "labels": [*range(len(CLASS_NAMES))] * PER_CLASS[split]})
        (folder / name).write_bytes(content)
        listed[split] = [[name, hashlib.md5(content).hexdigest()]]
    meta = pickle.dumps({"label_names": list(CLASS_NAMES)})
    (folder / "batches.meta").write_bytes(meta)
    dataset = torchvision.datasets.CIFAR10
    monkeypatch.setattr(dataset, "train_list", listed["train"])
    monkeypatch.setattr(dataset, "test_list", listed["test"])
    monkeypatch.setattr(dataset, "meta", {**dataset.meta, "md5": hashlib.md5(meta).hexdigest()})
    return folder
