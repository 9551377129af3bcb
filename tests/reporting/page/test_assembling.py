"""The page is one file that fetches nothing, and what users wrote stays text in it."""

import json
import re

import numpy as np
import pytest

from cdam_bench.drawing.maps import SIGNED
from cdam_bench.reporting.page.assembling import json_text, page_html
from cdam_bench.reporting.page.pictures import jpeg, map_png
from tests.reporting.page.pages import Elements, data_of, fill, no_gallery, page_of, random_scores
from tests.reporting.stores import write_cell

EVIL = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>&amp;'\"\u2028"


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    store = fill(tmp_path_factory.mktemp("store"))
    page_of(store)
    return (store / "report" / "index.html").read_text(encoding="utf-8")


def test_nothing_on_the_page_names_another_file_or_a_server(html):
    elements = Elements(html)
    links = [
        value for name, value in elements.attributes if name in ("src", "href", "srcset", "action", "poster", "data")
    ]
    assert all(link.startswith(("#", "data:")) for link in links)
    styles = html[: html.index("</head>")]
    assert not re.search(r"@import|url\((?!['\"]?data:)", styles)


def test_the_page_has_three_scripts_and_the_licence_of_the_charting_library(html):
    data, charts, own = Elements(html).scripts
    assert data[0] == {"type": "application/json", "id": "report-data"}
    assert charts[0] == own[0] == {"type": "module"}
    assert charts[1].startswith("/*!\nVega, Vega-Lite and Vega-Embed")
    assert "Copyright 2010-2023 Mike Bostock" in charts[1][:5000]
    assert "window.vegaEmbed" in charts[1]


@pytest.mark.parametrize("value", [EVIL, {EVIL: [EVIL]}, "<!-- <script", "–×α", [1.5, None, True]])
def test_json_holds_anything_without_ending_its_script(value):
    text = json_text(value)
    assert json.loads(text) == value
    assert not re.search("[<>&\u2028]", text)


def test_a_script_in_a_class_a_method_a_setting_and_a_note_stays_text(tmp_path):
    settings = {"backbone": {"architecture": EVIL, "checkpoint": None, "head": None}}
    for estimator in ("cdam", "<b>mine"):
        scores = {"A_box": [1.0, 2.0, 3.0], "<i>own": [0.0, 1.0, 2.0]}
        write_cell(tmp_path, estimator, scores, names=(EVIL, "<script>8"), targets=2, settings=settings, device=EVIL)
    page_of(tmp_path)
    text = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    page = data_of(text)
    (comparison,) = page["comparisons"]
    assert comparison["images"]["targets"][0] == [EVIL, "<script>8"]
    assert comparison["settings"]["backbone.architecture"] == EVIL
    assert comparison["headline"]["devices"] == [EVIL]
    assert set(comparison["estimators"]) == {"cdam", "<b>mine"}
    assert "<i>own" in comparison["scores"]
    page["notes"], page["title"] = [EVIL], EVIL
    elements = Elements(page_html(page))
    assert len(elements.scripts) == 3
    assert data_of(page_html(page))["notes"] == [EVIL]
    assert not [name for name, _ in elements.attributes if name.startswith("on")]
    assert "alert(1)</script>" not in text


def test_a_file_name_that_is_a_script_stays_text(tmp_path):
    fill(tmp_path)
    page, _ = page_of(tmp_path, no_gallery())
    page["comparisons"][0]["images"]["names"][0] = EVIL
    assert data_of(page_html(page))["comparisons"][0]["images"]["names"][0] == EVIL


def test_the_same_results_give_the_same_bytes(tmp_path):
    fill(tmp_path)
    page_of(tmp_path)
    file = tmp_path / "report" / "index.html"
    before = file.read_bytes()
    page_of(tmp_path)
    assert file.read_bytes() == before


@pytest.mark.slow
def test_twenty_methods_on_two_hundred_images_take_less_than_15_megabytes(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(20):
        scores = random_scores(i, 200)
        other = {f"other_{name}": values for name, values in scores.items()}
        write_cell(tmp_path, f"method_{i}", scores | other, targets=2, names=("3", "8"), chunk_size=200)
    page, _ = page_of(tmp_path)
    (comparison,) = page["comparisons"]
    smooth = np.kron(rng.uniform(size=(56, 56, 3)), np.ones((4, 4, 1)))
    by_pixel = [map_png(rng.normal(size=(224, 224)), SIGNED, 16) for _ in range(48)]
    by_patch = [map_png(np.kron(rng.normal(size=(14, 14)), np.ones((16, 16))), SIGNED, 16) for _ in range(48)]
    comparison["images"]["thumbnails"] = [jpeg(smooth, 48)] * 200
    maps = [{f"method_{i}": (by_pixel if i < 8 else by_patch)[2 * k :][:2] for i in range(20)} for k in range(24)]
    comparison["gallery"] = {"images": [{"picture": jpeg(smooth, 224), "maps": own} for own in maps]}
    size = len(page_html(page).encode()) / 1e6
    print(f"{size:.1f} MB")
    assert 2 < size < 15
