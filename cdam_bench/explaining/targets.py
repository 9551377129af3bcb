"""Targets as people write them: an index, a name, "predicted" or "top3"."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cdam_bench.datasets.imagenet_classes import NUM_CLASSES, synonyms
from cdam_bench.errors import UserError, nearest_names, require

Names = Sequence[Sequence[str]]  # per output of the head its names, the first one for showing
TOP = re.compile(r"top([1-9]\d*)")


@dataclass(frozen=True)
class Target:
    """An output of the head.

    Args:
        index: which.
        name: for showing, unique among the targets of one picture.
        output: the head's value for this picture: logit of a class, similarity to a concept.
        probability: of a class, by softmax over all classes; None for a concept.
    """

    index: int
    name: str
    output: float
    probability: float | None


def class_names(num_classes: int) -> Names:
    """Names of classes as far as they are known from their number: ImageNet's 1000, else the index as text."""
    return synonyms() if num_classes == NUM_CLASSES else [(str(index),) for index in range(num_classes)]


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
        require(bool(ranking), f"target={text}: without a class head nothing is predicted; name a concept")
        require(rank <= len(ranking), f"target={text}: there are only {len(ranking)} classes")
        return ranking[rank - 1]
    near = nearest_names(text, known)
    hint = f"did you mean {' or '.join(near)}?" if near else "give a name, an index, predicted, or top1 … top5"
    raise UserError(f"target={text} is unknown: {hint}")


def describe(indices: Sequence[int], names: Names, outputs: Tensor, num_classes: int) -> list[Target]:
    """Targets of one picture, without repetitions.

    Args:
        indices: outputs of the head.
        names: of every output.
        outputs: (C,) of the picture.
        num_classes: the first so many outputs are classes, the others concepts.
    """
    probabilities = outputs[:num_classes].double().softmax(0)
    wanted = list(dict.fromkeys(indices))
    shown = [names[index][0] for index in wanted]
    return [
        Target(
            index=index,
            name=name if shown.count(name) == 1 else f"{name} ({index})",
            output=float(outputs[index]),
            probability=float(probabilities[index]) if index < num_classes else None,
        )
        for index, name in zip(wanted, shown, strict=True)
    ]


def ranked(outputs: Tensor, num_classes: int) -> list[int]:
    """Classes of one picture, most probable first."""
    return torch.argsort(outputs[:num_classes], descending=True, stable=True).tolist()
