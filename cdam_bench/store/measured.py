"""Which metrics a chunk of a cell holds, and with which settings they were measured, so that each can be measured again alone."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from cdam_bench.store.chunks import EXPLAINING, INFO, SECONDS, Arrays, ChunkFolder, Span
from cdam_bench.store.files import fingerprint

METRICS = "metrics"  # array of a chunk: JSON, name of a metric → digest of its settings and names of its arrays
Settings = Mapping[str, Any]  # name of a metric → its settings


def core_of(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What the maps and targets of a cell depend on: everything but its metrics."""
    return {name: value for name, value in identity.items() if name != "metric"}


def put_together(
    info: Arrays, measured: Mapping[str, Arrays], settings: Settings, found: Arrays | None = None
) -> Arrays:
    """A chunk from what is known about its images and what was measured.

    Args:
        info: names, targets, seconds.
        measured: name of a metric → its arrays.
        settings: of the metrics measured, and of those wanted in the end, in the order their columns stand.
        found: the chunk as it was; its own info stays, and the metrics in it whose settings are still wanted.
    """
    parts = {name: (fingerprint(settings[name]), arrays) for name, arrays in measured.items()}
    if found is not None:
        for name, (digest, names) in _index(found[METRICS]).items():
            if name not in parts and name in settings and fingerprint(settings[name]) == digest:
                parts[name] = (digest, {array: found[array] for array in names})
        explaining = {name: values for name, values in info.items() if name == EXPLAINING}  # the first time counts
        kept = {name: values for name, values in found.items() if name.startswith(INFO)}
        info = explaining | kept | {SECONDS: found[SECONDS] + info[SECONDS]}
    ordered = [name for name in settings if name in parts]
    index = {name: [parts[name][0], list(parts[name][1])] for name in ordered}
    arrays = {key: values for name in ordered for key, values in parts[name][1].items()}
    return {**info, **arrays, METRICS: np.array(json.dumps(index))}


def unmeasured(chunks: ChunkFolder, span: Span, settings: Settings) -> list[str]:
    """Names of the metrics that a chunk lacks or holds with other settings; all of them if there is no chunk."""
    index = chunks.peek(*span, METRICS)
    held = {} if index is None else {name: digest for name, (digest, _) in _index(index).items()}
    return [name for name in settings if held.get(name) != fingerprint(settings[name])]


def wanted(arrays: Arrays, settings: Settings) -> Arrays | None:
    """What a chunk holds about these metrics, in their order; None if it lacks one."""
    index = _index(arrays[METRICS])
    if any(index.get(name, ("",))[0] != fingerprint(one) for name, one in settings.items()):
        return None
    info = {name: values for name, values in arrays.items() if name.startswith(INFO)}
    return info | {array: arrays[array] for name in settings for array in index[name][1]}


def _index(array: np.ndarray) -> dict[str, tuple[str, list[str]]]:
    return {name: (digest, names) for name, (digest, names) in json.loads(str(array)).items()}
