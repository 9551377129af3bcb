"""Targets as people write them: an index, a name, "predicted" or "top3"."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cdam_bench.backbones import JoinedHeads
from cdam_bench.datasets.class_names import Names, all_names
from cdam_bench.datasets.imagenet_classes import NUM_CLASSES, synonyms
from cdam_bench.errors import UserError, nearest_names, require

TOP = re.compile(r"top([1-9]\d*)")
CLASSES = "classes"  # the kind of output that competes; the others are concepts, labels and quantities
VALUES = {
    CLASSES: "logit",
    "concepts": "similarity",
    "labels": "logit",
    "quantities": "value",
}  # what an output is called


@dataclass(frozen=True)
class Target:
    """An output of the head.

    Args:
        index: which.
        name: for showing, unique among the targets of one picture.
        output: the head's value for this picture: logit of a class, similarity to a concept.
        probability: of a class, by softmax over all classes; None for outputs that do not compete.
        kind: of output: classes, concepts, labels or quantities.
    """

    index: int
    name: str
    output: float
    probability: float | None
    kind: str = CLASSES

    @property
    def heading(self) -> str:
        """Name with the probability of a class, or with the output's value."""
        if self.probability is not None:
            return f"{self.name} ({100 * self.probability:.0f} %)"
        return f"{self.name} ({VALUES[self.kind]} {self.output:.3g})"


@dataclass(frozen=True)
class Outputs:
    """What a head says.

    Args:
        names: of every output.
        kinds: of every output; classes come first.
    """

    names: Names
    kinds: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        """How many of the outputs are classes."""
        return self.kinds.count(CLASSES)


def outputs_of(
    head: nn.Module, count: int, names: Sequence[str] | None = None, of_model: Sequence[str] | None = None
) -> Outputs:
    """Names and kinds of a head's outputs: its own `names` and `output_kind` where it has them, else classes.

    Args:
        head: any, or JoinedHeads of several, that of the classes first.
        count: outputs of the head.
        names: of the classes, as the user says.
        of_model: names that the model brings for its own classes; without meaning for another number of classes.
    Raises:
        UserError: for another number of names than there are classes.
    """
    if isinstance(head, nn.Identity):  # a model without head: its outputs are features, none of which competes
        return Outputs([(str(index),) for index in range(count)], ("quantities",) * count)
    parts = list(head.heads) if isinstance(head, JoinedHeads) else [head]
    own = [(name, getattr(part, "output_kind", CLASSES)) for part in parts for name in getattr(part, "names", ())]
    own_classes = [name for name, kind in own if kind == CLASSES]
    others = [(name, kind) for name, kind in own if kind != CLASSES]
    num_classes = count - len(others)
    require(
        names is None or len(names) == num_classes,
        f"{len(names or ())} class names for a head with {num_classes} classes",
    )
    known: Names = class_names(num_classes)
    if names is not None:
        known = [(name,) for name in names]
    elif len(own_classes) == num_classes:
        known = [(name,) for name in own_classes]
    elif of_model is not None and len(of_model) == num_classes:
        known = all_names(of_model)
    kinds = (*(CLASSES for _ in range(num_classes)), *(kind for _, kind in others))
    return Outputs([*known, *((name,) for name, _ in others)], kinds)


def class_names(num_classes: int) -> Names:
    """Names of classes as far as they are known from their number: ImageNet's 1000, else the index as text."""
    return synonyms() if num_classes == NUM_CLASSES else [(str(index),) for index in range(num_classes)]


def as_list(targets: Any) -> list[str | int]:
    """Targets as people pass them: one or several, also as an array or tensor of indices.

    Raises:
        UserError: for none, and for what is neither a name nor an index.
    """
    if isinstance(targets, np.ndarray | np.generic | Tensor):
        targets = targets.tolist()
    listed = [targets] if isinstance(targets, str | int) or not isinstance(targets, Iterable) else list(targets)
    listed = [
        one.item() if isinstance(one, np.generic) or (isinstance(one, Tensor) and one.ndim == 0) else one
        for one in listed
    ]
    require(bool(listed), "no target is given: name one, or use predicted")
    for one in listed:
        known = isinstance(one, str | int) and not isinstance(one, bool)
        require(known, f"target={one!r}: give names or indices of outputs, predicted, or top1 … top5")
    return listed


def find_output(target: str | int, names: Names, ranking: Sequence[int]) -> int:
    """Index of the output that `target` means.

    Args:
        target: an index, a name (of several outputs with that name the first), "predicted", or "top1" … for the classes by rank.
        names: of every output. A name wins over an index, as the digits' names are numbers.
        ranking: indices of the classes, most probable first.
    Raises:
        UserError: for a name that is unknown, with the nearest ones; for an index or a rank beyond the last.
    """
    text = str(target).strip()
    known: dict[str, int] = {}
    for index, listed in enumerate(names):
        for name in listed:
            known.setdefault(name.lower(), index)
    if text.lower() in known:
        return known[text.lower()]
    if text.lstrip("-").isdigit():
        require(0 <= int(text) < len(names), f"target={text}: the backbone has outputs 0…{len(names) - 1}")
        return int(text)
    rank = 1 if text.lower() == "predicted" else int(match[1]) if (match := TOP.fullmatch(text.lower())) else None
    if rank is not None:
        require(bool(ranking), f"target={text}: without classes nothing is predicted; name an output")
        require(rank <= len(ranking), f"target={text}: there are only {len(ranking)} classes")
        return ranking[rank - 1]
    near = nearest_names(text, known)
    hint = f"did you mean {' or '.join(near)}?" if near else "give a name, an index, predicted, or top1 … top5"
    raise UserError(f"target={text} is unknown: {hint}")


def describe(indices: Sequence[int], outputs: Outputs, values: Tensor) -> list[Target]:
    """Targets of one picture, without repetitions.

    Args:
        indices: outputs of the head.
        outputs: what they are.
        values: (C,) of the picture.
    """
    probabilities = values[: outputs.num_classes].double().softmax(0)
    wanted = list(dict.fromkeys(indices))
    shown = [outputs.names[index][0] for index in wanted]
    return [
        Target(
            index=index,
            name=name if shown.count(name) == 1 else f"{name} ({index})",
            output=float(values[index]),
            probability=float(probabilities[index]) if index < outputs.num_classes else None,
            kind=outputs.kinds[index],
        )
        for index, name in zip(wanted, shown, strict=True)
    ]


def ranked(values: Tensor, num_classes: int) -> list[int]:
    """Classes of one picture, most probable first."""
    return torch.argsort(values[:num_classes], descending=True, stable=True).tolist()
