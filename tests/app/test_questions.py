"""Questions: what a link holds comes back from it, and what cannot be is refused."""

from dataclasses import replace
from urllib.parse import parse_qs

import pytest

from cdam_bench.app.questions import OWN, Question, listed, of_query
from cdam_bench.errors import UserError

METHODS = ("cdam", "gradcam", "random")
ASKED = Question(
    OWN, "owner/model name", "w.pth", ("tench, Tinca", "<b>&=?"), ("7", "4 (2)"), ("gradcam", "random"), overlay=0.25
)


def test_a_link_restores_the_question():
    assert of_query(parse_qs(ASKED.query()), Question()) == ASKED


def test_what_a_link_does_not_say_is_as_usual():
    assert of_query({"backbone": ["cifar10_vit"], "utm_source": ["x"]}, ASKED) == replace(ASKED, backbone="cifar10_vit")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"picture": "../x"}, "picture=../x is unknown"),
        ({"methods": ("cdamm",)}, "did you mean cdam"),
        ({"methods": ()}, "choose at least one"),
        ({"methods": ("cdam",) * 13}, "at most 12"),
        ({"targets": ("1", "2", "3")}, "at most 2"),
        ({"classes": tuple("a" * n for n in range(1, 300))}, "at most 200"),
        ({"backbone": "x" * 500}, "too long"),
        ({"backbone": "a\nb"}, "cannot be shown"),
        ({"backbone": " "}, "no backbone"),
        ({"overlay": float("nan")}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(change, told):
    with pytest.raises(UserError, match=told) as refusal:
        replace(ASKED, **{"methods": ("cdam",), **change}).checked(METHODS)
    assert "\n" not in str(refusal.value)


def test_an_overlay_that_is_no_number_is_refused():
    with pytest.raises(UserError, match="overlay"):
        of_query({"overlay": ["strong"]}, ASKED)


def test_names_are_split_at_commas_and_each_kept_once():
    assert listed(" cat, dog ,,cat") == ("cat", "dog")
