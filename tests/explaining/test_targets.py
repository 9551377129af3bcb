"""Targets by index, name and rank."""

import pytest
import torch
from torch import nn

from cdam_bench.backbones import ConceptHead, JoinedHeads
from cdam_bench.errors import UserError
from cdam_bench.explaining.targets import Outputs, Target, class_names, describe, find_output, outputs_of, ranked

NAMES = [("tench", "Tinca tinca"), ("goldfish",), ("crane",), ("crane",), ("stripes",)]
RANKING = [2, 0, 1, 3]


@pytest.mark.parametrize(
    ("target", "index"),
    [(1, 1), ("1", 1), ("Goldfish", 1), ("tinca tinca", 0), ("predicted", 2), ("top1", 2), ("top4", 3), ("stripes", 4)],
)
def test_a_target_is_found_by_index_any_name_and_rank(target, index):
    assert find_output(target, NAMES, RANKING) == index


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("goldfisch", "did you mean goldfish"),
        ("5", "outputs 0…4"),
        ("-1", "outputs 0…4"),
        ("top5", "only 4 classes"),
        ("qqqq", "give a name, an index, predicted"),
    ],
)
def test_an_impossible_target_is_refused_with_what_would_do(target, message):
    with pytest.raises(UserError, match=message):
        find_output(target, NAMES, RANKING)


def test_a_thousand_classes_have_imagenets_names():
    names = class_names(1000)
    assert find_output("African elephant", names, []) == 386
    assert find_output("zebra", names, []) == 340


def test_probabilities_are_over_the_classes_alone():
    values = torch.tensor([0.0, 1.0, 3.0, -1.0, 100.0])
    targets = describe([2, 4, 2, 3], Outputs(NAMES, ("classes",) * 4 + ("concepts",)), values)
    assert [target.index for target in targets] == [2, 4, 3]
    assert [target.name for target in targets] == ["crane (2)", "stripes", "crane (3)"]
    assert targets[0].probability == pytest.approx(float(values[:4].softmax(0)[2]))
    assert targets[1].probability is None
    assert ranked(values, 4) == [2, 1, 0, 3]


class Quantities(nn.Linear):
    names, output_kind = ("margin", "texture"), "quantities"


def test_a_head_says_what_its_outputs_are_and_what_they_are_called():
    concepts = ConceptHead(torch.zeros(1, 4), names=["stripes"])
    classes = nn.Linear(4, 3)
    own = outputs_of(Quantities(4, 2), 2)
    assert (own.names, own.kinds, own.num_classes) == ([("margin",), ("texture",)], ("quantities",) * 2, 0)
    joined = outputs_of(JoinedHeads(classes, concepts), 4)
    assert (joined.names, joined.kinds) == ([("0",), ("1",), ("2",), ("stripes",)], ("classes",) * 3 + ("concepts",))
    named = outputs_of(JoinedHeads(Quantities(4, 2), concepts), 3)
    assert (named.names, named.num_classes) == ([("margin",), ("texture",), ("stripes",)], 0)


def test_names_of_classes_come_from_the_user_then_from_the_head():
    head = nn.Linear(4, 2)
    head.names = ("cat", "dog")
    assert outputs_of(head, 2).names == [("cat",), ("dog",)]
    assert outputs_of(head, 2, ["Katze", "Hund"]).names == [("Katze",), ("Hund",)]
    assert outputs_of(head, 2).num_classes == 2


@pytest.mark.parametrize(
    ("kind", "probability", "expected"),
    [
        ("classes", 0.52, "margin (52 %)"),
        ("concepts", None, "margin (similarity 1.5)"),
        ("labels", None, "margin (logit 1.5)"),
        ("quantities", None, "margin (value 1.5)"),
    ],
)
def test_a_heading_says_what_its_number_is(kind, probability, expected):
    assert Target(0, "margin", 1.5, probability, kind).heading == expected
