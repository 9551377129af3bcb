"""Maps of a few images again, from the settings that the cells keep, with the functions that made them."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.benchmark.identity import cell_identity
from cdam_bench.benchmark.targets import (
    boxes_of,
    column_of,
    concept_targets,
    contrast_of,
    named_targets,
    output_names,
)
from cdam_bench.configs import build_backbone, build_dataset, build_estimator, build_preprocessing, moved
from cdam_bench.datasets import Batch, Dataset, Sample, collate
from cdam_bench.drawing.grids import Explained
from cdam_bench.drawing.names import display_name
from cdam_bench.errors import one_line, require
from cdam_bench.estimators import Estimator
from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.store.files import differences
from cdam_bench.store.results import CellResult

WEIGHTS = ("checkpoint", "path", "head")  # of a backbone's settings: what must be the same
RENAMED = {  # sha256 of packaged weights that had another name in version 0.1.0 → their name
    "cb932404ae099f263516f84e60fb62b98c1c374759614052be512cc01ca0d460": "digits_vit_shallow.safetensors",
}


@dataclass(frozen=True)
class Scene:
    """The images that all estimators of a comparison explain.

    Args:
        backbone, dataset: of the cells.
        batch: the images.
        targets: (B, K), as the results name them.
        rows: what scores.csv says about the images.
        outputs: what kind the outputs are of.
        explained: what the estimators explain: the backbone and `targets`, or their contrast where the cells have one.
    """

    backbone: Backbone
    dataset: Dataset
    batch: Batch
    targets: Tensor
    rows: list[dict[str, Any]]
    outputs: str
    explained: tuple[Backbone, Tensor]

    def first(self, count: int) -> "Scene":
        """Its first images, or all of them where there are not so many."""
        batch = self.batch
        part = replace(
            batch,
            image_ids=batch.image_ids[:count],
            images=batch.images[:count],
            targets=batch.targets[:count],
            seeds=batch.seeds[:count],
            boxes=None if batch.boxes is None else batch.boxes[:count],
            masks=None if batch.masks is None else batch.masks[:count],
        )
        backbone, targets = self.explained
        explained = (backbone, targets[:count])
        return replace(self, batch=part, targets=self.targets[:count], rows=self.rows[:count], explained=explained)


def explain_again(
    comparison: Comparison, num_images: int, paths: DictConfig, runtime: DictConfig
) -> tuple[list[Explained], list[str]]:
    """Explain the first images of a comparison with each of its estimators.

    Args:
        comparison: cells of one dataset and backbone.
        num_images: how many images.
        paths: data_dir and weights_dir of this machine.
        runtime: device and batch_size; the precision is the cells'.
    Returns:
        The images with the maps of all estimators that could be built, and a line for each that could not.
    Raises:
        UserError: if the data or the weights are not here, or the weights are others.
    """
    rebuilt = Rebuilt(comparison, paths, runtime)
    scene = rebuilt.scene(rebuilt.first(num_images))
    maps, signed, problems = {}, {}, []
    for cell in comparison.cells:
        name = cell.key.estimator
        try:
            estimator = rebuilt.estimator(cell)
            maps[name], signed[name] = rebuilt.maps(estimator, scene), is_signed(estimator)
        except Exception as error:  # whatever may go wrong in a class of one's own: the other methods keep their maps
            problems.append(f"no maps of {display_name(name)} on {comparison.title}: {one_line(error)}")
    return [explained_image(scene, i, maps, signed) for i in range(len(scene.batch))] if maps else [], problems


class Rebuilt:
    """The backbone and the dataset of a comparison, built again to explain some of its images.

    Args:
        comparison: cells of one dataset and backbone.
        paths: data_dir and weights_dir of this machine.
        runtime: device and batch_size; the precision is the cells'.
    Raises:
        UserError: if the data or the weights are not here, or the weights are others.
    """

    def __init__(self, comparison: Comparison, paths: DictConfig, runtime: DictConfig) -> None:
        self.comparison, self.paths, self.runtime = comparison, paths, runtime
        self.settings = settings_of(comparison.cells[0], paths, runtime)
        same_weights(comparison.cells[0], self.settings)
        self.backbone = build_backbone(self.settings)
        self.dataset = build_dataset(self.settings, build_preprocessing(self.settings), self.backbone)
        self.rows = _rows_by_image(comparison)

    def first(self, num_images: int) -> list[Sample]:
        """The first images that were measured.

        Raises:
            UserError: if none of them is in the dataset.
        """
        samples: list[Sample] = []
        for sample in map(self.dataset.__getitem__, range(len(self.dataset))):
            samples += [sample] if sample.image_id in self.rows else []
            if len(samples) == min(num_images, len(self.rows)):
                break
        require(
            bool(samples), f"dataset {self.comparison.dataset} has none of the images of the results: was it changed?"
        )
        return samples

    def named(self, names: Sequence[str]) -> list[Sample]:
        """The images of these names, in their order.

        Raises:
            UserError: if one is not in the dataset.
        """
        places = {
            name: place for cell in self.comparison.complete_cells for place, name in enumerate(cell.scores["image"])
        }
        # a finished cell has every image of its dataset, in its order
        likely = [places[name] for name in names if places.get(name, len(self.dataset)) < len(self.dataset)]
        wanted, found = set(names), {}
        for place in dict.fromkeys([*likely, *range(len(self.dataset))]):
            if len(found) == len(wanted):
                break
            sample = self.dataset[place]
            if sample.image_id in wanted:
                found[sample.image_id] = sample
        missing = [name for name in names if name not in found]
        told = f"dataset {self.comparison.dataset} has no image {missing[0]}: was it changed?" if missing else ""
        require(not missing, told)
        return [found[name] for name in names]

    def scene(self, samples: Sequence[Sample]) -> Scene:
        """Images with the targets they were measured for, which are read, never chosen again."""
        head, classes = self.backbone.head, self.dataset.class_names
        batch = concept_targets(collate(samples, self.settings.seed), classes, head)
        rows = [self.rows[name] for name in batch.image_ids]
        with torch.inference_mode():
            logits = self.backbone(batch.images.to(self.backbone.device)).cpu()  # in single precision, as the run's
        targets = named_targets(rows, output_names(classes, head), logits)
        contrast = contrast_of(self.settings)  # all cells of a comparison have the same
        explained = (self.backbone, targets)
        if contrast is not None:
            explained = contrast.applied(self.backbone, logits, targets)
        return Scene(self.backbone, self.dataset, batch, targets, rows, self.comparison.outputs, explained)

    def estimator(self, cell: CellResult) -> Estimator:
        """The estimator of a cell.

        Raises:
            UserError: if its class cannot be had here.
        """
        return build_estimator(settings_of(cell, self.paths, self.runtime))

    def maps(self, estimator: Estimator, scene: Scene) -> np.ndarray:
        """Maps (B, K, H, W).

        Raises:
            UserError: if some of their values are not finite.
        """
        backbone, targets = scene.explained
        images = scene.batch.images.to(backbone.device)
        found = estimator.attribute(backbone, images, targets.to(images.device), scene.batch.seeds)
        require(bool(found.isfinite().all()), "NaN or infinite values")
        return found.cpu().numpy()

    def pixels(self, sample: Sample) -> np.ndarray:
        """A picture as it was before its normalisation: (H, W, 3) in [0, 1]."""
        return _pixels(sample.image, self.dataset.mean, self.dataset.std)


def is_signed(estimator: Estimator) -> bool:
    """Whether its maps can speak against an output; a class that says nothing is believed to make such."""
    return getattr(type(estimator), "signed", True)


def _rows_by_image(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """What scores.csv says about every image; the same in all cells, as targets do not depend on the estimator."""
    rows: dict[str, dict[str, Any]] = {}
    for cell in sorted(comparison.cells, key=lambda cell: cell.is_complete):
        rows |= {row["image"]: row for row in cell.scores.to_dict("records")}
    return rows


def explained_image(scene: Scene, i: int, maps: dict[str, np.ndarray], signed: dict[str, bool]) -> Explained:
    """One image; the numbers beside its targets are those of the results."""
    batch, row = scene.batch, scene.rows[i]
    columns = [column_of(k) for k in range(scene.targets.shape[1])]
    boxes = boxes_of(batch, scene.targets)
    return Explained(
        image_id=batch.image_ids[i],
        pixels=_pixels(batch.images[i], scene.dataset.mean, scene.dataset.std),
        targets=[str(row[column]) for column in columns],
        logits=[float(row[f"{column}_logit"]) for column in columns],
        boxes=None if boxes is None else boxes[i].numpy(),
        maps={estimator: values[i] for estimator, values in maps.items()},
        mask=None if batch.masks is None else batch.masks[i].numpy(),
        signed=signed,
        outputs=scene.outputs,
    )


def settings_of(cell: CellResult, paths: DictConfig, runtime: DictConfig) -> DictConfig:
    """The configuration a cell was run with, for this machine's folders and device."""
    identity = cell.description["identity"]
    backbone = dict(identity["backbone"])
    for name in WEIGHTS:
        if isinstance(backbone.get(name), dict):
            # a weights file, a model's folder, or the settings of a head that is an object
            file = RENAMED.get(backbone[name].get("sha256"), backbone[name].get("file"))
            backbone[name] = file or backbone[name] | _folders(backbone[name], paths)
    dataset = dict(identity["dataset"])
    dataset |= {name: folder for name, folder in _folders(dataset, paths).items() if name == "data_dir"}
    return OmegaConf.create(
        {
            **{key: identity[key] for key in ("estimator", "metric", "seed", "target_order")},
            "contrast": identity.get("contrast"),
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
    accepted = inspect.signature(get_class(moved(settings)["_target_"])).parameters
    return {name: paths[name] for name in ("data_dir", "weights_dir") if name in accepted}


def same_weights(cell: CellResult, settings: DictConfig) -> None:
    """Raise UserError if the weights found here are not those the cell was run with; its version may be another one."""
    found = cell.description["identity"]["backbone"], cell_identity(settings)["backbone"]
    before, now = ({name: _known_by(moved(backbone.get(name))) for name in WEIGHTS} for backbone in found)
    require(
        before == now,
        f"the weights here are not those of the results ({differences(before, now)}): run its cells again, or put the old "
        "weights back",
    )


def _known_by(weights: Any) -> Any:
    """What tells weights from others: of a file its digest, whatever it is called."""
    if isinstance(weights, dict) and "sha256" in weights:
        return {key: value for key, value in weights.items() if key != "file"}
    return weights


def _pixels(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Undo the normalisation: (3, H, W) → (H, W, 3) in [0, 1]."""
    shown = image * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]
    return shown.clamp(0, 1).permute(1, 2, 0).numpy()
