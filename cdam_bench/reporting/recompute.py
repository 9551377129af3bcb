"""Maps of a few images again, from the settings that the cells keep, with the functions that made them."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from cdam_bench.benchmark.identity import cell_identity
from cdam_bench.benchmark.job import Job
from cdam_bench.benchmark.targets import choose_targets, concept_targets, output_names
from cdam_bench.datasets import collate
from cdam_bench.errors import require
from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.store.files import differences
from cdam_bench.store.results import CellResult


@dataclass(frozen=True)
class Explained:
    """One image with its maps.

    Args:
        image_id: its name.
        pixels: (H, W, 3) in [0, 1].
        targets: names of the K classes explained.
        logits: theirs.
        boxes: of their objects, (K, 4), or None.
        maps: estimator → (K, H, W).
        mask: of the object that all targets are about, (H, W) bool, or None.
    """

    image_id: str
    pixels: np.ndarray
    targets: list[str]
    logits: list[float]
    boxes: np.ndarray | None
    maps: dict[str, np.ndarray]
    mask: np.ndarray | None = None


def explain_again(comparison: Comparison, num_images: int, paths: DictConfig, runtime: DictConfig) -> list[Explained]:
    """Explain the first images of a comparison with each of its estimators.

    Args:
        comparison: cells of one dataset and backbone.
        num_images: how many images.
        paths: data_dir and weights_dir of this machine.
        runtime: device and batch_size; the precision is the cells'.
    Raises:
        UserError: if the data or the weights are not here, or the weights are others.
    """
    batch, maps = None, {}
    for cell in comparison.cells:
        settings = settings_of(cell, paths, runtime)
        same_backbone(cell, settings)
        job = Job.prepare(settings, cell.key)
        if batch is None:
            batch = collate([job.dataset[i] for i in range(min(num_images, len(job.dataset)))], job.seed)
            images = batch.images.to(job.backbone.device)
            with torch.inference_mode():
                logits = job.backbone.logits(images).float().cpu()
            batch = concept_targets(batch, job.dataset.class_names, job.backbone.head)
            targets, boxes = choose_targets(batch, logits, job.target_order)
            pixels = _pixels(batch.images, job.dataset.mean, job.dataset.std)
            names = output_names(job.dataset.class_names, job.backbone.head)
        maps[cell.key.estimator] = (
            job.estimator.attribute(job.backbone, images, targets.to(images.device), batch.seeds).cpu().numpy()
        )
    return [
        Explained(
            image_id=batch.image_ids[i],
            pixels=pixels[i],
            targets=[names[c] for c in targets[i].tolist()],
            logits=logits[i, targets[i]].tolist(),
            boxes=None if boxes is None else boxes[i].numpy(),
            maps={estimator: values[i] for estimator, values in maps.items()},
            mask=None if batch.masks is None else batch.masks[i].numpy(),
        )
        for i in range(len(batch))
    ]


def settings_of(cell: CellResult, paths: DictConfig, runtime: DictConfig) -> DictConfig:
    """The configuration a cell was run with, for this machine's folders and device."""
    identity = cell.description["identity"]
    backbone = dict(identity["backbone"])
    for name in ("checkpoint", "head"):
        if isinstance(backbone.get(name), dict):
            # a weights file, or the settings of a head that is an object
            backbone[name] = backbone[name].get("file") or backbone[name] | _folders(backbone[name], paths)
    dataset = dict(identity["dataset"])
    dataset |= {name: folder for name, folder in _folders(dataset, paths).items() if name == "data_dir"}
    return OmegaConf.create(
        {
            **{key: identity[key] for key in ("estimator", "metric", "seed", "target_order")},
            "backbone": backbone,
            "dataset": dataset,
            "paths": paths,
            "runtime": {**runtime, "precision": identity["precision"]},
            "chunk_size": cell.description["chunk_size"],
            "shards": 1,
            "shard": 0,
        }
    )


def _folders(settings: dict[str, Any], paths: DictConfig) -> dict[str, Any]:
    """This machine's folders, of those that the class of `settings` asks for."""
    accepted = inspect.signature(get_class(settings["_target_"])).parameters
    return {name: paths[name] for name in ("data_dir", "weights_dir") if name in accepted}


def same_backbone(cell: CellResult, settings: DictConfig) -> None:
    """Raise UserError if the weights found here are not those the cell was run with."""
    before, now = cell.description["identity"]["backbone"], cell_identity(settings)["backbone"]
    require(
        before == now,
        f"the weights here are not those of the results ({differences(before, now)}): run its cells again, or put the old "
        "weights back",
    )


def _pixels(images: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Undo the normalisation: (B, 3, H, W) → (B, H, W, 3) in [0, 1]."""
    shown = images * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]
    return shown.clamp(0, 1).permute(0, 2, 3, 1).numpy()
