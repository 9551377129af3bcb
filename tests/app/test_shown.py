"""What is shown: nothing that comes from outside becomes part of the page's own markup."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from cdam_bench.app.answers import answer
from cdam_bench.app.blurring import blurring
from cdam_bench.app.curves_shown import curves_shown
from cdam_bench.app.examples import example
from cdam_bench.app.questions import OWN, Question
from cdam_bench.app.shown import links_shown, maps_shown, notes_of, picture_shown, told
from cdam_bench.app.uploads import Upload
from cdam_bench.app.visits import Visit
from tests.app.conftest import make_desk

EVIL = "<script>alert('1')</script>\"><img src=x onerror=alert(2)>"


class Tags(HTMLParser):
    """All tags of a page, and the attributes they have."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def evil_page(tmp_path_factory):
    desk = make_desk(tmp_path_factory.mktemp("received"), class_names=[f"{EVIL}{digit}" for digit in range(10)])
    upload = Upload(EVIL, example("digits_7_5").content)
    found = answer(Question(OWN, methods=("cdam",)), upload, {}, desk.models)
    found = replace(found, failures=(EVIL,))
    visit = Visit(answered=found, examples={EVIL: []})
    curves = curves_shown(found, blurring(found, upload, {}, desk.models, 2))
    return "".join([notes_of(found), picture_shown(found), maps_shown(found), links_shown(visit), curves, told(EVIL)])


def test_names_and_notes_from_outside_are_escaped(evil_page):
    assert "alert" in evil_page
    found = Tags(evil_page).found
    assert len(found) > 30
    for tag, attributes in found:
        assert tag != "script"
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("src", "data:").startswith("data:")


def test_maps_of_every_method_and_target_lie_on_the_picture_and_the_address_says_what_was_asked(models):
    found = answer(Question(methods=("cdam", "gradcam"), overlay=0.3), example("digits_7_5"), {}, models)
    tags = Tags(maps_shown(found)).found
    assert sum(attributes.get("class") == "cdam-map" for _, attributes in tags) == 4
    (root,) = [attributes for _, attributes in tags if attributes.get("class") == "cdam-maps"]
    assert root["data-query"] == found.question.query(with_overlay=False)
    assert "targets=7&targets=5" in root["data-query"]
    assert root["style"] == "--overlay: 0.3"


def test_a_note_says_when_the_picture_is_not_in_the_link(models):
    found = answer(Question(methods=("cdam",)), example("digits_7_5"), {}, models)
    own = replace(found, question=replace(found.question, picture=OWN))
    assert "and this packaged picture" in links_shown(Visit(answered=found))
    assert "your picture is not in it" in links_shown(Visit(answered=own))
