"""Targets: which outputs of the head are explained, of what kind they are, and what they are called."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from cdam_bench.backbones import Backbone, ConceptHead
from cdam_bench.backbones.contrast import Contrast
from cdam_bench.backbones.text_head import TextHead
from cdam_bench.configs import plain
from cdam_bench.datasets import Batch, Dataset
from cdam_bench.errors import UserError, require, unknown_name, with_prefix
from cdam_bench.estimators import Estimator
from cdam_bench.store.chunks import INFO, Arrays

TARGET_ORDERS = ("logit", "annotated")
COMPETING = ("classes", "concepts")  # kinds of output of which the one with the highest value can come first


def output_kind(dataset: Dataset, head: nn.Module) -> str:
    """What the head's outputs are: "classes" that compete, "concepts", "labels" that hold or not, or "quantities".

    The head says it (`output_kind`), or else the dataset; who says nothing has classes.
    """
    return getattr(head, "output_kind", None) or getattr(dataset, "output_kind", "classes")


def output_names(class_names: Sequence[str], head: nn.Module) -> Sequence[str]:
    """Names of what a head says: its concepts, its classes as text, or the dataset's classes."""
    return head.names if isinstance(head, ConceptHead | TextHead) else class_names


def concept_targets(batch: Batch, class_names: Sequence[str], head: nn.Module) -> Batch:
    """The batch with outputs of a concept head as targets; any other head leaves it as it is.

    Where every class of the dataset is also the name of a concept, the annotated classes become those concepts; else every
    concept is a target of every image, and no boxes are known. Of a head made of text, annotated classes are found by name.

    Raises:
        UserError: if a head made of text lacks a class of the annotated dataset.
    """
    if isinstance(head, TextHead) and batch.targets.shape[1] and tuple(class_names) != head.names:
        lacking = [name for name in class_names if name not in head.names]
        require(not lacking, f"backbone.head.class_names lack the dataset's class {', '.join(lacking[:3])}: add it")
    elif not isinstance(head, ConceptHead):
        return batch
    if set(class_names) <= set(head.names):
        concept_of = torch.tensor([head.names.index(name) for name in class_names])
        return replace(batch, targets=concept_of[batch.targets])
    every = torch.arange(len(head.names)).expand(len(batch), -1)
    return replace(batch, targets=every, boxes=None)


def contrast_of(config: DictConfig) -> Contrast | None:
    """The contrast of a configuration's targets, or None."""
    settings = plain(config.get("contrast"))  # cells of before it have none
    if settings is None:
        return None
    require(isinstance(settings, dict), f"contrast={settings}: must be null or {{gamma: 0.6, num_classes: 3}}")
    for name in map(str, settings):
        if name not in Contrast.__dataclass_fields__:
            raise unknown_name("contrast", name, Contrast.__dataclass_fields__)
    try:
        return Contrast(**settings)
    except UserError as error:
        raise with_prefix(error, "contrast") from error


def check_contrast(contrast: Contrast, estimator: Estimator, backbone: Backbone) -> None:
    """Raise UserError if an estimator's maps know no class, or the head has too few to compare with."""
    name = type(estimator).__name__
    require(estimator.class_aware, f"contrast: maps of {name} do not depend on the class, use contrast=null")
    try:
        contrast.check(backbone.num_classes)
    except UserError as error:
        raise with_prefix(error, "contrast") from error


def choose_targets(batch: Batch, logits: Tensor, order: str) -> tuple[Tensor, Tensor | None]:
    """The classes to explain, first the target.

    Args:
        batch: with annotated classes (B, K), or none.
        logits: (B, C) of the unperturbed images.
        order: "logit": of the annotated classes the one with the higher logit comes first; "annotated": as given.
    Returns:
        targets (B, K) long, and their boxes (B, K, 4) or None. Without annotation: the predicted class, (B, 1).
    """
    targets = batch.targets
    if targets.shape[1] == 0:
        return logits.argmax(1, keepdim=True), batch.boxes
    if order == "logit":
        ranking = logits.gather(1, targets).argsort(dim=1, descending=True, stable=True)
        targets = targets.gather(1, ranking)
    return targets, boxes_of(batch, targets)


def boxes_of(batch: Batch, targets: Tensor) -> Tensor | None:
    """Boxes (B, K, 4) of annotated classes in the order of `targets` (B, K); where nothing is annotated, as they are."""
    if batch.boxes is None or batch.targets.shape[1] == 0:
        return batch.boxes
    places = (batch.targets[:, None] == targets[..., None]).long().argmax(-1)  # (B, K)
    return batch.boxes.gather(1, places[..., None].expand(-1, -1, 4))


def column_of(k: int) -> str:
    """Name of the column with the k-th target of each image."""
    return ("target", "other")[k] if k < 2 else f"target{k + 1}"


def target_columns(targets: Tensor, logits: np.ndarray, names: Sequence[str]) -> Arrays:
    """What scores.csv says about the targets (B, K): name, index and logit of each."""
    info: Arrays = {}
    rows = np.arange(len(logits))
    for k in range(targets.shape[1]):
        column, own = column_of(k), targets[:, k].numpy()
        info[f"{INFO}{column}"] = np.array([names[c] for c in own.tolist()])
        info[f"{INFO}{column}_index"] = own.astype(np.int64)
        info[f"{INFO}{column}_logit"] = logits[rows, own]
    return info


def stored_targets(info: Arrays) -> Tensor:
    """The targets (B, K) that a chunk was made with, from its own columns."""
    columns = []
    while f"{INFO}{column_of(len(columns))}_index" in info:
        columns.append(torch.from_numpy(info[f"{INFO}{column_of(len(columns))}_index"]))
    return torch.stack(columns, 1)


def named_targets(rows: Sequence[dict[str, object]], names: Sequence[str], logits: Tensor) -> Tensor:
    """The targets (B, K) that rows of scores.csv name; what was chosen once is never chosen again.

    Version 0.1.0 wrote names and logits, but no indices: of several outputs with one name, it is the one whose logit is nearest.

    Args:
        rows: of scores.csv, one per image.
        names: of the head's outputs.
        logits: (B, C) of these images.
    Raises:
        UserError: for a name that no output has.
    """
    chosen = []
    for b, row in enumerate(rows):
        own: list[int] = []
        while (column := column_of(len(own))) in row:
            if f"{column}_index" in row:
                own.append(int(float(str(row[f"{column}_index"]))))
                continue
            candidates = [index for index, name in enumerate(names) if name == row[column]]
            if not candidates:
                raise UserError(f"{column} {row[column]} of the results is no output of this head: was it changed?")
            value = float(str(row[f"{column}_logit"]))
            own.append(min(candidates, key=lambda index, value=value, b=b: abs(float(logits[b, index]) - value)))
        chosen.append(own)
    return torch.tensor(chosen)
