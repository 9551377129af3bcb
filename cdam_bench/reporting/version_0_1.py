"""What version 0.1.0 (format 1) did not write down: the columns and curves of a metric, and of what kind the outputs are."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cdam_bench.configs import MOVED, instantiate
from cdam_bench.errors import UserError
from cdam_bench.store.columns import declaration

KINDS = {"malignancy": "labels", "biomarkers": "quantities"}  # of the nodules' outputs, by task


def upgraded(description: dict[str, Any]) -> dict[str, Any]:
    """What cell.yaml says, with `metrics` and `outputs` as format 2 has them; one of format 2 as it is."""
    if description["format"] != 1:
        return description
    identity = description["identity"]
    metrics = {name: _declared(json.dumps(settings)) for name, settings in identity["metric"].items()}
    return {**description, "metrics": metrics, "outputs": output_kind(identity)}


def output_kind(identity: Mapping[str, Any]) -> str:
    """What the outputs of a cell of version 0.1.0 are: its concepts and its nodules were the only ones that are no classes."""
    if _class_of(identity["backbone"].get("head")).endswith(".ConceptSource"):
        return "concepts"
    if _class_of(identity["dataset"]).endswith(".LidcNodules"):
        return KINDS[identity["dataset"]["task"]]
    return "classes"


def _class_of(settings: Any) -> str:
    """Where the class of settings is now; "" if they name none."""
    target = settings.get("_target_", "") if isinstance(settings, Mapping) else ""
    return MOVED.get(target, target)


@lru_cache(maxsize=64)
def _declared(settings: str) -> dict[str, Any]:
    """What a metric says about its columns and curves, from its settings as JSON; nothing, if its class cannot be had here."""
    try:
        metric = instantiate(json.loads(settings), "metric")
        return declaration(metric.columns(), metric.curves())
    except (UserError, AttributeError):  # a class of one's own, made for version 0.1.0
        return {}
