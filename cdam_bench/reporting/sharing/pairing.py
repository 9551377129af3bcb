"""Pairing: the images that two runs of a cell have in common, and the scores of both that may be compared."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from cdam_bench.configs import MOVED
from cdam_bench.store.cells import CellKey
from cdam_bench.store.columns import Column, Declared
from cdam_bench.store.files import flatten
from cdam_bench.store.results import CellResult
from cdam_bench.store.scores import TEXT_COLUMN

FREE = (
    "num_images",
    "folder",
    "targets_csv",
)  # of a dataset: how many images and where they are; their names tell which
TARGET_LOGIT = re.compile(r"(target\d*|other)_logit")
OF_A_TARGET = re.compile(r"(other|target\d+)_(?P<score>.+)")
DIRECTIONS = ("wrong_", "delta_")


@dataclass(frozen=True)
class Pair:
    """One cell in both runs.

    Args:
        key: its names.
        settings: what differs in its settings, versions and device, as `key: old → new`.
        reason: why it cannot be compared; "": it can.
        columns: the scores that both have.
        values: (2, images, scores) of the images that both have for the same targets.
        logits: (2, images, targets) of the same images: what the backbone says without any map.
        logit_names: their columns.
        notes: images and scores that are left out, in words.
    """

    key: CellKey
    settings: list[str]
    reason: str
    columns: list[Column]
    values: np.ndarray
    logits: np.ndarray
    logit_names: list[str]
    notes: list[str]

    @property
    def images(self) -> int:
        return self.values.shape[1]


def paired(old: CellResult, new: CellResult) -> Pair:
    """Put two runs of a cell side by side.

    They can be compared on images of the same name, of the same dataset, that were explained for the same targets; scores of a
    metric that was set otherwise cannot. Whatever else differs is what the comparison is about.
    """
    nothing = np.empty((2, 0, 0))
    apart = Pair(old.key, changed_settings(old, new), "", [], nothing, nothing, [], [])
    if other := _other_images(old, new):
        return replace(apart, reason=f"other images ({other})")
    frames = [cell.scores.set_index("image") for cell in (old, new)]
    if not all(frame.index.is_unique for frame in frames):
        return replace(apart, reason="names of images repeat")
    common = frames[0].index.intersection(frames[1].index, sort=False)
    if not len(common):
        return replace(apart, reason="no image of one name")
    before, after = (frame.loc[common] for frame in frames)
    targets = [name for name in before if name in after and TEXT_COLUMN.fullmatch(str(name))]
    same = (before[targets].to_numpy() == after[targets].to_numpy()).all(1)
    if not same.any():
        return replace(apart, reason=f"other targets on all {len(common)} images")
    notes = list(_left_out(old, new, len(common), int((~same).sum())))
    columns, told = _columns(old, new)
    logits = [str(name) for name in before if name in after and TARGET_LOGIT.fullmatch(str(name))]
    names = [column.name for column in columns]
    found = [np.stack([frame[own][same].to_numpy(float) for frame in (before, after)]) for own in (names, logits)]
    return replace(apart, columns=columns, values=found[0], logits=found[1], logit_names=logits, notes=notes + told)


def changed_settings(old: CellResult, new: CellResult) -> list[str]:
    """What differs in settings, versions and device, as `key: old → new`."""
    before, after = (_known_by(cell) for cell in (old, new))
    keys = [*before, *(key for key in after if key not in before)]
    return [
        f"`{key}: {before.get(key, 'unset')} → {after.get(key, 'unset')}`"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _known_by(cell: CellResult) -> dict[str, Any]:
    """Settings, versions and device of a cell, flat; the version of cdam_bench stands among the versions."""
    identity = {name: value for name, value in cell.description["identity"].items() if name != "cdam_bench"}
    return _flat({**identity, "versions": cell.description["versions"], "device": cell.description["device"]})


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with classes called as they are now."""
    return {
        key: MOVED.get(value, value) if isinstance(value, str) else value for key, value in flatten(settings).items()
    }


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Settings that are set to different values, as `key: old → new`; one that a run of another version does not know is not."""
    before, after = _flat(old), _flat(new)
    return [f"{key}: {before[key]} → {after[key]}" for key in before if key in after and before[key] != after[key]]


def _other_images(old: CellResult, new: CellResult) -> str:
    """The settings of the dataset that make the images others under the same names."""
    before, after = (
        {key: value for key, value in cell.description["identity"]["dataset"].items() if key not in FREE}
        for cell in (old, new)
    )
    return ", ".join(f"dataset.{one}" for one in _differing(before, after))


def _left_out(old: CellResult, new: CellResult, common: int, other_targets: int) -> Iterator[str]:
    """Images that are not compared."""
    counts = [len(cell.scores) for cell in (old, new)]
    if counts != [common, common]:
        yield f"{common} images in both, of {counts[0]} and {counts[1]}"
    if other_targets:
        yield f"{other_targets} images left out, as their targets are others"
    unfinished = [word for word, cell in (("old", old), ("new", new)) if not cell.is_complete]
    if unfinished:
        yield f"not finished: {' and '.join(unfinished)}"


def _columns(old: CellResult, new: CellResult) -> tuple[list[Column], list[str]]:
    """The scores that may be compared, and a line for those that may not."""
    metrics = [cell.description["identity"].get("metric", {}) for cell in (old, new)]
    declared = {
        metric: own for cell in (old, new) for metric, own in Declared.of(cell.description["metrics"]).columns.items()
    }
    changed = [name for name in metrics[0] if name in metrics[1] and _differing(metrics[0][name], metrics[1][name])]
    stems = {_stem(column.name) for name in changed for column in declared.get(name, ())}
    known = {column.name: column for own in declared.values() for column in own}
    own, other = (_scores(cell.scores) for cell in (old, new))
    both = [name for name in own if name in other]
    otherwise = [name for name in both if _stem(name) in stems]
    alone = [[name for name in these if name not in those] for these, those in ((own, other), (other, own))]
    told = [f"{len(otherwise)} scores not compared, as {', '.join(changed)} is set otherwise"] if otherwise else []
    told += [
        f"scores in the {word} one alone: {', '.join(names)}"
        for word, names in zip(("old", "new"), alone, strict=True)
        if names
    ]
    return [_column(name, known) for name in both if name not in otherwise], told


def _scores(frame: pd.DataFrame) -> list[str]:
    """Columns with scores."""
    numbers = [str(name) for name, column in frame.items() if column.dtype.kind in "bif"]
    return [name for name in numbers if not TARGET_LOGIT.fullmatch(name) and not name.endswith("_index")]


def _stem(name: str) -> str:
    """A score's name without what says which target and whose map it is about."""
    found = OF_A_TARGET.fullmatch(name)
    name = found["score"] if found else name
    for prefix in DIRECTIONS:
        name = name.removeprefix(prefix)
    return name


def _column(name: str, known: Mapping[str, Column]) -> Column:
    """A score as it is declared; of further targets as that of the first, but of no table."""
    if name in known:
        return known[name]
    found = OF_A_TARGET.fullmatch(name)
    like = known.get(found["score"] if found else name)
    return Column(name) if like is None else replace(like, name=name, label="", aspect="", paired=False)
