"""Targets by index, name and rank."""

import pytest
import torch

from cdam_bench.errors import UserError
from cdam_bench.explaining.targets import class_names, describe, find_output, ranked

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
    outputs = torch.tensor([0.0, 1.0, 3.0, -1.0, 100.0])
    targets = describe([2, 4, 2, 3], NAMES, outputs, num_classes=4)
    assert [target.index for target in targets] == [2, 4, 3]
    assert [target.name for target in targets] == ["crane (2)", "stripes", "crane (3)"]
    assert targets[0].probability == pytest.approx(float(outputs[:4].softmax(0)[2]))
    assert targets[1].probability is None
    assert ranked(outputs, 4) == [2, 1, 0, 3]
