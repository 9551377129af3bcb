"""The photographs of CIFAR-10, from whatever form they are at hand in; downloaded if they are not."""

import socket
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from cdam_bench.datasets.pictures import BROKEN, is_picture
from cdam_bench.errors import UserError, require

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PER_CLASS = {"train": 5000, "test": 1000}
SIDE = 32  # of a photograph, in pixels
SILENCE = 30.0  # seconds after which a server that says nothing is given up


@dataclass(frozen=True)
class Photographs:
    """All photographs of a split, class by class, in each class in the order of their source.

    Args:
        images: (N, 3, 32, 32) uint8.
        labels: (N,) long, indices into CLASS_NAMES.
        names: N names, as airplane/0007: class and place in the class.
    """

    images: Tensor
    labels: Tensor
    names: tuple[str, ...]


@lru_cache(maxsize=2)
def load_photographs(data_dir: str | Path, split: str) -> Photographs:
    """All photographs of a split; a second call returns the same tensors (train: 154 MB).

    In `data_dir/cifar10`, or else in `data_dir`, these are looked for:
    1. class folders, `test/airplane/*.png`, PNG or JPEG;
    2. the same zipped, `test.zip`, `train.zip` or `train_0.zip`, `train_1.zip` …;
    3. the official `cifar-10-batches-py/`, which torchvision unpickles only where each file's MD5 is the official one.
    If there are none, torchvision downloads the third (170 MB) into `data_dir/cifar10`. JPEGs do not have exactly the
    official pixels.

    Args:
        data_dir: where your data are.
        split: "train" or "test".
    Raises:
        UserError: if they are not there and cannot be downloaded, or are incomplete or damaged.
    Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images".
    """
    require(split in PER_CLASS, f"split={split} is unknown: use one of {', '.join(PER_CLASS)}")
    places = [Path(data_dir) / "cifar10", Path(data_dir)]
    for place in places:
        if (place / split / CLASS_NAMES[0]).is_dir():
            return _from_files(_in_folder(place / split), split, place / split)
        if archives := [*place.glob(f"{split}.zip"), *sorted(place.glob(f"{split}_*.zip"))]:
            return _from_files(_in_archives(archives), split, place / f"{split}*.zip")
    official = torchvision.datasets.CIFAR10.base_folder
    present = [place for place in places if (place / official).is_dir()]
    return _from_torchvision(present[0] if present else _download(places[0]), split)


def _in_folder(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    """Class, file name and content of every picture in class folders."""
    for path in folder.glob("*/*"):
        if is_picture(path):
            yield path.parent.name, path.name, path.read_bytes()


def _in_archives(archives: Iterable[Path]) -> Iterator[tuple[str, str, bytes]]:
    """Class, file name and content of every picture in zipped class folders."""
    for path in archives:
        try:
            with zipfile.ZipFile(path) as archive:
                for member in archive.namelist():
                    parts = PurePosixPath(member)
                    if is_picture(Path(member)) and "__MACOSX" not in parts.parts:
                        yield parts.parent.name, parts.name, archive.read(member)
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise UserError(f"{path} cannot be read ({error}): download it again") from error


def _from_files(files: Iterable[tuple[str, str, bytes]], split: str, place: Path) -> Photographs:
    """Decode pictures and bring them into order."""
    decoded: list[list[tuple[tuple[int, str], np.ndarray]]] = [[] for _ in CLASS_NAMES]
    total = PER_CLASS[split] * len(CLASS_NAMES)
    for name, file, content in tqdm(files, desc="reading CIFAR-10", total=total, unit="image", leave=False, delay=2):
        where = f"{name}/{file} in {place}"
        require(name in CLASS_NAMES, f"{where}: {name!r} is no class of CIFAR-10 ({', '.join(CLASS_NAMES)})")
        try:
            pixels = np.asarray(Image.open(BytesIO(content)).convert("RGB"))
        except BROKEN as error:
            raise UserError(f"{where} cannot be read: download the photographs again") from error
        require(
            pixels.shape[:2] == (SIDE, SIDE),
            f"{where}: {pixels.shape[1]} × {pixels.shape[0]} pixels instead of {SIDE} × {SIDE}",
        )
        decoded[CLASS_NAMES.index(name)].append(((len(file), file), pixels))  # 2.png comes before 10.png
    ordered = [pixels for members in decoded for _, pixels in sorted(members, key=lambda member: member[0])]
    labels = [label for label, members in enumerate(decoded) for _ in members]
    return _checked(np.stack(ordered).transpose(0, 3, 1, 2) if ordered else np.empty(0), labels, split, place)


def _from_torchvision(root: Path, split: str) -> Photographs:
    try:
        official = torchvision.datasets.CIFAR10(root, train=split == "train")
    except (RuntimeError, OSError) as error:
        folder = root / torchvision.datasets.CIFAR10.base_folder
        raise UserError(f"{folder} is incomplete or damaged: delete it, and it is downloaded again") from error
    labels = np.array(official.targets)
    order = np.argsort(labels, kind="stable")
    return _checked(official.data[order].transpose(0, 3, 1, 2), labels[order].tolist(), split, root)


def _checked(images: np.ndarray, labels: list[int], split: str, place: Path) -> Photographs:
    """Put together what is complete, and complain about what is not."""
    expected, counts = PER_CLASS[split], [labels.count(label) for label in range(len(CLASS_NAMES))]
    wrong = [f"{name} {count}" for name, count in zip(CLASS_NAMES, counts, strict=True) if count != expected]
    require(
        not wrong,
        f"{place}: {expected} {split} photographs of each class expected, but {', '.join(wrong)}: download them again",
    )
    names = tuple(f"{name}/{number:04d}" for name in CLASS_NAMES for number in range(expected))
    return Photographs(torch.from_numpy(np.ascontiguousarray(images)), torch.tensor(labels), names)


def _download(folder: Path) -> Path:
    """Let torchvision download the official files into a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _silence_ends():
            torchvision.datasets.CIFAR10(folder, download=True)
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"CIFAR-10 is not in {folder} and cannot be downloaded ({_reason(error)}): get "
            f"{torchvision.datasets.CIFAR10.url} and unpack it there, or put train/ and test/ with class folders, or zips "
            "of them, there, or set paths.data_dir"
        ) from error
    return folder


@contextmanager
def _silence_ends() -> Iterator[None]:
    """Connections fail after SILENCE seconds without an answer, instead of never."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
