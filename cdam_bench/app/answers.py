"""A question answered: the outputs there are, the most probable classes, and maps. `cdam_bench.explaining` does the work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from cdam_bench.app.models import Models
from cdam_bench.app.questions import MOST_TARGETS, Question
from cdam_bench.app.turns import TimeOverError
from cdam_bench.app.uploads import Upload
from cdam_bench.backbones import Backbone, JoinedHeads
from cdam_bench.datasets import Preprocessing
from cdam_bench.datasets.concepts import Concepts, check_count
from cdam_bench.drawing.names import display_name
from cdam_bench.errors import UserError, require
from cdam_bench.estimators import Estimator
from cdam_bench.explaining.explanation import Explanation, explain_prepared
from cdam_bench.explaining.named import named_estimators
from cdam_bench.explaining.picture import Prepared, prepare
from cdam_bench.explaining.targets import CLASSES, Outputs, outputs_of

MOST_CONCEPTS = 4
MOST_EXAMPLES = 30  # pictures of one concept; the paper's number
Examples = Mapping[str, Sequence[Upload]]  # a concept's name → pictures of it


@dataclass(frozen=True)
class Answer:
    """What is shown of an explained picture.

    Args:
        question: as it was asked, with the targets that were explained.
        explanation: with the maps.
        choices: every output of the head as (what is shown, what a target is called), the most probable first.
        failures: what was said of methods that could not explain this backbone.
    """

    question: Question
    explanation: Explanation
    choices: list[tuple[str, str]]
    failures: tuple[str, ...] = ()


def answer(question: Question, upload: Upload, examples: Examples, models: Models) -> Answer:
    """Explain a picture.

    Args:
        question: checked.
        upload: the picture.
        examples: of concepts, which become outputs beside the classes.
        models: where the backbone is from.
    Raises:
        UserError: for backbones and targets that cannot be, and if no method works.
    """
    prepared = prepared_picture(question, upload, examples, models)
    backbone = prepared.backbone
    outputs = outputs_of(backbone.head, backbone.num_classes, None, backbone.class_names)
    names = target_names(outputs)
    targets = list(question.targets) or default_targets(outputs, names)
    explanation, failures = with_every_method(prepared, named_estimators(list(question.methods)), targets)
    chosen = tuple(names[target.index] for target in explanation.targets)
    return Answer(replace(question, targets=chosen), explanation, choices_of(explanation, outputs, names), failures)


def prepared_picture(question: Question, upload: Upload, examples: Examples, models: Models) -> Prepared:
    """The picture as the backbone sees it, and the backbone with the head whose outputs are asked for."""
    model = models.get(question.backbone, question.weights, question.classes)
    backbone = with_concepts(model.backbone, model.preprocessing, examples) if examples else model.backbone
    prepared = prepare(upload.picture(), backbone, model.preprocessing, backbone_name=model.name)
    return replace(prepared, name=upload.name)


def with_concepts(backbone: Backbone, preprocessing: Preprocessing, examples: Examples) -> Backbone:
    """The backbone with concepts, from pictures of them, as further outputs; where it has no head, as the only ones."""
    images = {}
    for name, uploads in examples.items():
        check_count(name, len(uploads))
        images[name] = torch.stack([preprocessing(upload.picture()) for upload in uploads])
    head = Concepts.of_images(backbone, images).head()
    if isinstance(backbone.head, nn.Identity):
        return backbone.with_head(head)
    joined = backbone.with_head(JoinedHeads(backbone.head, head))
    joined.class_names = backbone.class_names  # of those outputs that are classes
    return joined


def check_examples(examples: Examples) -> None:
    """Raise UserError for more than is taken."""
    require(len(examples) <= MOST_CONCEPTS, f"{len(examples)} concepts: at most {MOST_CONCEPTS} are taken")
    for name, uploads in examples.items():
        require(bool(name.strip()), "the concept has no name: give it one")
        check_count(name, len(uploads))
        require(
            len(uploads) <= MOST_EXAMPLES, f"concept {name} has {len(uploads)} pictures: send at most {MOST_EXAMPLES}"
        )


def with_every_method(
    prepared: Prepared, methods: Mapping[str, Estimator], targets: Sequence[str]
) -> tuple[Explanation, tuple[str, ...]]:
    """Maps of all methods that can explain this backbone, and what the others said.

    Raises:
        UserError: if none can, and when the time is up.
    """
    try:
        return explain_prepared(prepared, methods, list(targets)), ()
    except TimeOverError:
        raise
    except UserError:
        if len(methods) == 1:
            raise
    parts, failures = [], []
    for name, method in methods.items():  # one of them cannot: which?
        try:
            parts.append(explain_prepared(prepared, {name: method}, list(targets)))
        except TimeOverError:
            raise
        except UserError as error:
            failures.append(f"{display_name(name)}: {error}")
    require(bool(parts), failures[0])
    maps = {name: maps for part in parts for name, maps in part.maps.items()}
    signed = {name: signed for part in parts for name, signed in part.signed.items()}
    return replace(parts[0], maps=maps, signed=signed), tuple(failures)


def target_names(outputs: Outputs) -> list[str]:
    """What the outputs are called as targets: their names, or where two share one their index."""
    first = [names[0] for names in outputs.names]
    counted = {name: first.count(name) for name in set(first)}
    return [name if counted[name] == 1 else str(index) for index, name in enumerate(first)]


def default_targets(outputs: Outputs, names: Sequence[str]) -> list[str]:
    """What is explained unasked: concepts, which someone has just made, then the most probable classes, else the first outputs."""
    concepts = [name for name, kind in zip(names, outputs.kinds, strict=True) if kind == "concepts"]
    ranked = [f"top{rank}" for rank in range(1, 1 + min(MOST_TARGETS, outputs.num_classes))]
    others = [name for name, kind in zip(names, outputs.kinds, strict=True) if kind not in (CLASSES, "concepts")]
    return [*concepts, *ranked, *others[:MOST_TARGETS]][:MOST_TARGETS]


def choices_of(explanation: Explanation, outputs: Outputs, names: Sequence[str]) -> list[tuple[str, str]]:
    """What is shown of every output, and its name as a target; concepts first, then the classes by probability, then the others."""
    probable = {one.index: f"{one.name} ({100 * (one.probability or 0):.0f} %)" for one in explanation.predictions}
    concepts = [index for index, kind in enumerate(outputs.kinds) if kind == "concepts"]
    rest = [index for index in range(len(names)) if index not in {*concepts, *probable}]
    shown = {**{index: f"{names[index]} (concept)" for index in concepts}, **probable}
    return [
        (shown.get(index, ", ".join(outputs.names[index][:2])), names[index]) for index in [*concepts, *probable, *rest]
    ]
