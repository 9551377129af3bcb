"""The 1000 classes of ILSVRC-2012 and the ReaL labels of its validation images, as timm brings them."""

import json
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from timm.data import ImageNetInfo

from cdam_bench.errors import UserError, require

NUM_CLASSES = 1000
NUM_VALIDATION_IMAGES = 50_000


@lru_cache
def wordnet_ids() -> tuple[str, ...]:
    """WordNet ids of the classes, in order of class index: they are sorted."""
    return tuple(ImageNetInfo().label_names())


@lru_cache
def synonyms() -> tuple[tuple[str, ...], ...]:
    """All names of every class: (("tench", "Tinca tinca"), …)."""
    info = ImageNetInfo()
    names = (info.label_name_to_description(wordnet_id).split(",") for wordnet_id in wordnet_ids())
    return tuple(tuple(name.strip() for name in listed) for listed in names)


@lru_cache
def class_names() -> tuple[str, ...]:
    """First name of every class. Two classes are both called crane, and two maillot."""
    return tuple(names[0] for names in synonyms())


def validation_names() -> list[str]:
    """File names of the validation images: ILSVRC2012_val_00000001.JPEG …"""
    return [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, NUM_VALIDATION_IMAGES + 1)]


def real_labels(path: str | Path | None = None) -> list[list[int]]:
    """ReaL labels (class indices, none or several) of the validation images, in order of file name.

    Args:
        path: a copy of real.json; None: the one that timm brings.
    Raises:
        UserError: if it is not the 50,000 lists of class indices that it should be.
    Source: Beyer et al. 2020, "Are we done with ImageNet?" (Apache-2.0).
    """
    try:
        packaged = files("timm.data").joinpath("_info/imagenet_real_labels.json")
        labels = json.loads(packaged.read_text() if path is None else Path(path).read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"ReaL labels {path} cannot be read ({error}): download real.json again") from error
    _check_labels(labels, path)
    return labels


def _check_labels(labels: Any, path: str | Path | None) -> None:
    require(isinstance(labels, Sequence), f"ReaL labels {path}: expected a list of {NUM_VALIDATION_IMAGES} lists")
    require(
        len(labels) == NUM_VALIDATION_IMAGES,
        f"ReaL labels {path} have {len(labels)} entries instead of {NUM_VALIDATION_IMAGES}: download real.json again",
    )
    for number, listed in enumerate(labels, 1):
        valid = isinstance(listed, list) and all(isinstance(c, int) and 0 <= c < NUM_CLASSES for c in listed)
        require(valid, f"ReaL labels {path}: entry {number} is not a list of class indices in 0…{NUM_CLASSES - 1}")
