"""The desk: pages do not see each other's pictures, and nothing of a closed one stays."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest

from cdam_bench.app.downloads import download
from cdam_bench.app.questions import OWN
from cdam_bench.errors import UserError
from tests.app.conftest import make_desk, png, sent


@pytest.fixture
def own(desk):
    return replace(desk.default, picture=OWN)


def test_a_page_is_explained_its_own_picture_and_no_other_page_is(desk, own):
    desk.receive("a", sent(desk.folder, "mine.png", png()))
    assert desk.ask("a", own).answered.explanation.name == "mine"
    with pytest.raises(UserError, match="not in it"):
        desk.ask("b", own)


def test_a_closed_page_is_forgotten_and_its_files_are_not_given_out(desk):
    visit = desk.ask("closing", desk.default)
    assert desk.visits.of_token(visit.token) is visit
    desk.visits.forget("closing")
    assert desk.visits.of_token(visit.token) is None
    with pytest.raises(UserError, match="closed"):
        download(None, "png")


def test_the_longest_unused_page_is_forgotten_beyond_the_most(tmp_path):
    few = make_desk(tmp_path, "max_visits=2")
    first = few.visits.get("a")
    few.visits.get("b")
    assert few.visits.get("a") is first
    few.visits.get("c")
    assert len(few.visits) == 2
    assert few.visits.get("a") is first


def test_of_a_concept_with_one_wrong_file_nothing_is_kept(desk):
    folder = desk.folder
    paths = [sent(folder, "a.png", png()), sent(folder, "b.png", png()), sent(folder, "c.png", b"no picture")]
    with pytest.raises(UserError, match="c is not a picture"):
        desk.receive_examples("page", "reds", paths)
    assert desk.visits.get("page").examples == {}
    assert list(folder.rglob("*.png")) == []


def test_a_time_limit_ends_an_explanation_in_one_line(tmp_path):
    hasty = make_desk(tmp_path, "timeout_s=0.1")
    hasty.models.get("digits_vit")
    slow = replace(hasty.default, methods=("kernel_shap", "occlusion", "rise"))
    with pytest.raises(UserError, match=r"longer than 0\.1 s"):
        hasty.ask("page", slow)


def test_downloaded_arrays_are_the_maps_and_curves_that_are_shown(desk):
    visit = desk.ask("arrays", desk.default)
    desk.blur("arrays")
    name, _, content = download(visit, "npz")
    assert name == "digits_7_5.npz"
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        for method, maps in visit.answered.explanation.maps.items():
            for target, m in maps.items():
                np.testing.assert_array_equal(stored[f"{method}/{target}"], m)
        np.testing.assert_allclose(stored["blurred_share"], [0, 0.25, 0.5, 0.75, 1])
        assert stored["curves/cdam/7"][0] == pytest.approx(visit.answered.explanation.targets[0].output, abs=1e-3)
        assert json.loads(str(stored["about"]))["backbone"] == "digits_vit"


def test_the_downloaded_figure_is_the_one_that_explain_draws(desk):
    visit = desk.ask("figure", desk.default)
    assert download(visit, "png")[2].startswith(b"\x89PNG")
    assert download(visit, "pdf")[2].startswith(b"%PDF")
    with pytest.raises(UserError, match="there are png, pdf, npz"):
        download(visit, "exe")
