"""What was run: the headline of a comparison, what its cells have in common, and each of them."""

from typing import Any

from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.reporting.page.plain import Plain, number
from cdam_bench.reporting.page.tables import images_of
from cdam_bench.store.files import fingerprint, flatten
from cdam_bench.store.results import CellResult

OUTPUTS = {"classes": "class", "concepts": "concept", "labels": "label", "quantities": "quantity"}


def headline_values(comparison: Comparison) -> Plain:
    """What was compared on what, and where and when."""
    about = [cell.description for cell in comparison.cells]
    days = sorted(str(one["started"])[:16] for one in about if "started" in one)
    targets = num_targets(comparison)
    methods = len(comparison.cells)
    of_each = f"{targets} targets" if targets > 1 else f"one {OUTPUTS.get(comparison.outputs, 'target')}"
    return {
        "sentence": f"{methods} method{'s' * (methods > 1)} on {comparison.counts} images of {comparison.dataset}, backbone "
        f"{comparison.backbone}, {of_each} of each image.",
        "images": comparison.counts,
        "methods": methods,
        "targets": targets,
        "outputs": comparison.outputs,
        "devices": list(dict.fromkeys(str(one.get("device", "")) for one in about)),
        "first": days[0] if days else "",
        "last": days[-1] if days else "",
        "versions": list(dict.fromkeys(str(one.get("versions", {}).get("cdam_bench", "")) for one in about)),
    }


def target_columns(comparison: Comparison) -> list[str]:
    """The columns of scores.csv with the names of the targets."""
    columns = comparison.cells[0].scores.columns
    return [name for name in columns if name in ("target", "other") or name.removeprefix("target").isdigit()]


def num_targets(comparison: Comparison) -> int:
    """How many outputs were explained of each image."""
    return len(target_columns(comparison))


def setting_values(settings: dict[str, Any]) -> dict[str, str]:
    """Settings as text: "a.b" → value; what is null is left out."""
    return {key: str(value) for key, value in flatten(settings).items() if value is not None}


def cell_values(cell: CellResult) -> Plain:
    """How a cell was run."""
    about = cell.description
    identity = about["identity"]
    seconds, explaining = about.get("seconds"), about.get("explaining", {}).get("seconds_per_image")
    return {
        "estimator": cell.key.estimator,
        "complete": cell.is_complete,
        "images": images_of(cell),
        "seconds": None if seconds is None else number(float(seconds)),
        "explaining": None if explaining is None else number(float(explaining)),
        "device": str(about.get("device", "")),
        "started": str(about.get("started", "")),
        "versions": {str(name): str(version) for name, version in about.get("versions", {}).items()},
        "settings": setting_values(identity.get("estimator", {})),
        "digest": fingerprint(identity)[:8],
    }
