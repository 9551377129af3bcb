"""What the columns of an exported file mean, in words and as the metrics declare them."""

import re
from collections.abc import Iterable
from typing import Any

from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.store.columns import Column, declaration

KEYS = {
    "dataset": "name of the dataset",
    "backbone": "name of the backbone: the ViT with its head",
    "variant": "tells configurations of one dataset and backbone apart; empty if there is one; tables never mix them",
    "estimator": "name of the method",
    "complete": "whether the cell, all images of this dataset, backbone and estimator, is finished",
    "image": "name of the image",
}  # they stand first, in this order, and say which row it is
TARGET = re.compile(r"(target|other|target(?P<place>\d+))(?P<what>_index|_logit)?")
OF_A_TARGET = re.compile(r"(other|target(?P<place>\d+))_(?P<score>.+)")
OF_TARGETS = {
    "": "name of {}",
    "_index": "place of {} among the head's outputs",
    "_logit": "output of {} for the image as it is",
}
DIRECTIONS = {
    "wrong_": "with the map of the other target, the target's output recorded",
    "delta_": "with its own map minus with the map of the other target",
}


def meanings(comparisons: Iterable[Comparison], names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Name of a column → what it means: `meaning` in words, or what the metric declares (label, unit, better, decimals, …)."""
    declared = {
        column.name: column
        for comparison in comparisons
        for own in comparison.declared.columns.values()
        for column in own
    }
    return {name: _meaning(name, declared) for name in names}


def _meaning(name: str, declared: dict[str, Column]) -> dict[str, Any]:
    if name in KEYS:
        return {"meaning": KEYS[name]}
    if name in declared:
        (plain,) = declaration([declared[name]], [])["columns"]
        return {key: value for key, value in plain.items() if key != "name"}
    if found := TARGET.fullmatch(name):
        return {"meaning": OF_TARGETS[found["what"] or ""].format(_which(name, found["place"]))}
    words, score = [], name
    if found := OF_A_TARGET.fullmatch(score):
        words.append(f"of {_which(name, found['place'])}")
        score = found["score"]
    for prefix, direction in DIRECTIONS.items():
        if score not in declared and score.startswith(prefix):
            words.append(direction)
            score = score.removeprefix(prefix)
    return {"meaning": ", ".join([score, *words])}


def _which(name: str, place: str | None) -> str:
    """Which target a column is about."""
    return f"target {place}" if place else "the other target" if name.startswith("other") else "the target"
