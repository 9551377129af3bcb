"""Identity: every setting that the numbers of a cell depend on, and what else is written down about a run."""

from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import torch
from omegaconf import DictConfig

from cdam_bench.backbones.files import file_digest, find_weights
from cdam_bench.backbones.hugging_face_files import find_model
from cdam_bench.backbones.loading import checked_device, chosen_precision
from cdam_bench.benchmark.targets import contrast_of
from cdam_bench.benchmark.versions import version_of
from cdam_bench.configs import ABOUT, Plain, backbone_arguments, head_source, plain


def cell_identity(config: DictConfig) -> Plain:
    """Every setting that a cell's numbers depend on; where and how fast it is run is not among them."""
    resolved = plain(config)
    backbone_arguments(config)  # complains about what is of the wrong kind
    backbone = {name: value for name, value in resolved["backbone"].items() if name not in ABOUT}
    for name in ("checkpoint", "head"):
        if isinstance(backbone.get(name), str):
            file = find_weights(backbone[name], resolved["paths"]["weights_dir"])
            backbone[name] = {"file": file.name, "sha256": _file_digest(file, file.stat().st_mtime_ns)}
    if "path" in backbone:
        backbone["path"] = find_model(backbone["path"], resolved["paths"]["weights_dir"]).identity()
    if (source := head_source(config)) is not None:
        backbone["head"] = source.identity()
    dataset = {name: value for name, value in resolved["dataset"].items() if name != "data_dir"}
    # a cell of plain targets says nothing of a contrast: so it did before there was one
    contrast = contrast_of(config)
    about_target = {} if contrast is None else {"contrast": asdict(contrast)}
    return about_target | {
        "cdam_bench": version_of("cdam-bench"),
        "dataset": dataset,
        "backbone": backbone,
        "estimator": resolved["estimator"],
        "metric": {name: settings for name, settings in resolved["metric"].items() if settings is not None},
        "seed": resolved["seed"],
        "target_order": resolved["target_order"],
        "precision": chosen_precision(config.runtime.precision, checked_device(config.runtime.device)),
    }


@lru_cache(maxsize=8)
def _file_digest(path: Path, _modified: int) -> str:
    """SHA-256 of a file; `_modified` makes a changed file be read again."""
    return file_digest(path)


def device_name(device: torch.device) -> str:
    """What a cell was computed on."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({torch.get_num_threads()} threads)"
