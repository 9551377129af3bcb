"""Answers: the very maps of `cdam_bench.explain`, for classes, concepts and text."""

import numpy as np
import pytest
import torch

import cdam_bench
from cdam_bench.app import answers
from cdam_bench.app.answers import answer, check_examples, with_every_method
from cdam_bench.app.examples import EXAMPLES, example
from cdam_bench.app.questions import Question
from cdam_bench.app.turns import TimeOverError
from cdam_bench.app.uploads import Upload
from cdam_bench.errors import UserError
from cdam_bench.estimators import CDAM, AttentionMap, Estimator
from cdam_bench.explaining.picture import prepare
from tests.app.conftest import make_desk, png
from tests.backbones.hugging_face_models import make, save
from tests.backbones.test_text_head import save_tokenizer

ASKED = Question(methods=("cdam", "attention_map"))
DIGITS = example("digits_7_5")


class Refusing(Estimator):
    """A method that explains nothing."""

    def __init__(self, error):
        self.error = error

    def attribute(self, backbone, images, targets, seeds=None):
        raise self.error


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_packaged_picture_can_be_read(name):
    assert min(example(name).picture().size) >= 64


def test_maps_are_those_of_explain_for_the_two_most_probable_classes(models):
    found = answer(ASKED, DIGITS, {}, models)
    expected = cdam_bench.explain(DIGITS.picture(), "digits_vit", ["cdam", "attention_map"], ["top1", "top2"])
    assert set(found.question.targets) == {"7", "5"}  # what the picture shows
    assert [one.name for one in found.explanation.targets] == [one.name for one in expected.targets]
    for method, maps in expected.maps.items():
        for target, expected_map in maps.items():
            np.testing.assert_allclose(found.explanation.maps[method][target], expected_map, atol=1e-6)


def test_chosen_outputs_are_explained_and_all_are_offered_the_probable_first(models):
    found = answer(Question(targets=("3",), methods=("cdam",)), DIGITS, {}, models)
    assert list(found.explanation.maps["cdam"]) == ["3"]
    assert {value for _, value in found.choices} == {str(digit) for digit in range(10)}
    assert found.choices[0][1] == "7"
    assert found.choices[0][0].endswith(" %)")


def test_an_unknown_output_is_told_in_one_line(models):
    with pytest.raises(UserError, match="target=seven is unknown"):
        answer(Question(targets=("seven",), methods=("cdam",)), DIGITS, {}, models)


def test_a_concept_is_the_mean_latent_of_its_pictures_beside_the_classes(models):
    examples = {"reds": [Upload("a", png()), Upload("b", png(colour=(10, 200, 40)))]}
    found = answer(ASKED, DIGITS, examples, models)
    assert found.question.targets == ("reds", "7")
    model = models.get("digits_vit")
    with torch.no_grad():
        latents = [
            model.backbone.features(model.preprocessing(one.picture())[None]) for one in (*examples["reds"], DIGITS)
        ]
    expected = float((latents[2] * (latents[0] + latents[1]) / 2).sum())
    assert found.explanation.targets[0].output == pytest.approx(expected, rel=1e-4)
    assert found.explanation.targets[0].kind == "concepts"


@pytest.mark.parametrize(
    ("examples", "told"),
    [
        ({"": [Upload("a", b"")] * 2}, "no name"),
        ({"few": [Upload("a", b"")]}, "at least 2"),
        ({"many": [Upload("a", b"")] * 31}, "at most 30"),
        ({str(n): [Upload("a", b"")] * 2 for n in range(5)}, "at most 4"),
    ],
)
def test_concepts_that_cannot_be_are_refused(examples, told):
    with pytest.raises(UserError, match=told):
        check_examples(examples)


@pytest.fixture
def prepared(models):
    model = models.get("digits_vit")
    return prepare(DIGITS.picture(), model.backbone, model.preprocessing)


def test_a_method_that_cannot_is_named_and_the_others_are_shown(prepared):
    methods = {"cdam": CDAM(), "rise": Refusing(UserError("needs another head")), "attention_map": AttentionMap()}
    found, failures = with_every_method(prepared, methods, ["top1"])
    assert list(found.maps) == ["cdam", "attention_map"]
    assert found.signed == {"cdam": True, "attention_map": False}
    assert failures == ("RISE: needs another head",)


def test_when_no_method_can_or_the_time_is_up_that_is_an_error(prepared):
    with pytest.raises(UserError, match="needs another"):
        with_every_method(prepared, {name: Refusing(UserError("needs another")) for name in "ab"}, ["top1"])
    with pytest.raises(TimeOverError):
        with_every_method(prepared, {"cdam": CDAM(), "b": Refusing(TimeOverError("late"))}, ["top1"])


def test_a_concept_is_no_target_of_a_picture_without_concepts(models):
    asked = Question(targets=("reds",), methods=("cdam",))
    with pytest.raises(UserError, match="reds is unknown"):
        answers.answer(asked, DIGITS, {}, models)


@pytest.mark.slow
def test_names_that_are_typed_become_outputs_of_a_model_that_reads_text(tmp_path):
    folder = save(make("clip"), tmp_path / "whole")
    save_tokenizer(folder)
    allowed = make_desk(tmp_path, "allow_paths=true").models
    asked = Question(backbone=str(folder), classes=("cat", "dog", "grey owl"), methods=("cdam",))
    found = answer(asked, DIGITS, {}, allowed)
    assert {value for _, value in found.choices} == {"cat", "dog", "grey owl"}
    assert sum(one.probability for one in found.explanation.predictions) == pytest.approx(1)
