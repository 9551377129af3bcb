"""The page in a real browser."""

import io
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from tests.app.conftest import png

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
PICTURE = Path(__file__).parents[2] / "docs/images/two_digits.png"
WAIT = 60_000  # ms


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, server):
    """Opens the page with a query; afterwards nothing was complained about, and nobody else was asked."""
    _, address = server
    troubles, pages = [], []

    def open_(query="?methods=cdam", **options):
        page = browser.new_page(**options)
        page.set_default_timeout(WAIT)
        page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        own = (address, "data:", "blob:")
        page.on("request", lambda asked: troubles.append(asked.url) if not asked.url.startswith(own) else None)
        page.goto(f"{address}/{query}")
        pages.append(page)
        return page

    yield open_
    for page in pages:
        page.close()
    assert troubles == []


def shown(page, headings):
    """Waits until the maps of these targets and then their curves are shown."""
    page.wait_for_function(
        "wanted => [...document.querySelectorAll('.cdam-maps h3')].map(h => h.textContent.split(' ')[0]).join() === wanted"
        " && document.querySelector('.cdam-blur[data-started]')",
        arg=",".join(headings),
    )


def send(page, name, content, into="#cdam-upload"):
    page.set_input_files(f"{into} input[type=file]", {"name": name, "mimeType": "image/png", "buffer": content})


def test_an_uploaded_picture_is_explained_end_to_end(open_page, server):
    served, _ = server
    page = open_page()
    shown(page, ["7", "5"])  # the packaged example
    send(page, "mine.png", PICTURE.read_bytes())
    shown(page, ["7", "4"])
    assert page.locator(".cdam-picture th").all_inner_texts()[:2] == ["7", "4"]
    assert page.locator(".cdam-maps .cdam-map").count() == 2
    page.locator(".cdam-overlay").fill("0.3")
    assert page.evaluate("getComputedStyle(document.querySelector('.cdam-map')).opacity") == "0.3"

    before = page.locator(".cdam-blur canvas").first.evaluate("canvas => canvas.toDataURL()")
    page.locator(".cdam-share").fill("4")
    value = page.locator(".cdam-blur figure output").first.inner_text()
    assert page.locator(".cdam-blur canvas").first.evaluate("canvas => canvas.toDataURL()") != before
    with page.expect_download() as download:
        page.get_by_text("Arrays (npz)").click()
    with np.load(io.BytesIO(Path(download.value.path()).read_bytes()), allow_pickle=False) as arrays:
        assert float(value.replace("−", "-")) == pytest.approx(arrays["curves/cdam/7"][-1], abs=0.006)
    assert download.value.suggested_filename == "mine.npz"
    assert "picture=own" in page.url
    assert "overlay=0.3" in page.url
    assert not [path for path in served.folder.rglob("*") if path.is_file() and path.stat().st_size]

    send(page, "notes.png", b"no picture at all")
    page.wait_for_selector("[role=alert]")
    assert page.locator("[role=alert]").inner_text().startswith("notes is not a picture that can be read here")


@pytest.mark.slow
def test_a_link_restores_what_was_shown(open_page):
    page = open_page("?picture=digits_4_9&targets=9&targets=2&methods=gradcam&methods=attention_map&overlay=0.44")
    shown(page, ["9", "2"])
    assert page.locator(".cdam-maps section:first-of-type figcaption").all_inner_texts() == ["GradCAM", "Attention map"]
    assert page.locator(".cdam-overlay").input_value() == "0.44"
    assert page.get_by_label("digits_4_9").is_checked()
    link = page.locator(".cdam-link").input_value()
    again = open_page("?" + link.partition("?")[2])
    shown(again, ["9", "2"])
    assert again.locator(".cdam-overlay").input_value() == "0.44"
    assert again.locator(".cdam-maps").inner_html() == page.locator(".cdam-maps").inner_html()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("?backbone=/etc", "--allow-paths"),
        ("?picture=own", "drop it here"),
        ("?methods=cdamm", "did you mean cdam"),
        ("?methods=cdam&targets=<script>alert(1)</script>", "is unknown"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(query, told, open_page):
    page = open_page(query)
    page.wait_for_selector("[role=alert]")
    assert told in page.locator("[role=alert]").inner_text()
    assert page.locator("[role=alert]").count() == 1


@pytest.mark.slow
def test_a_picture_with_too_many_pixels_is_refused_and_the_limit_told(open_page):
    page = open_page()
    shown(page, ["7", "5"])
    send(page, "wall.png", png((1001, 1000)))
    page.wait_for_selector("[role=alert]")
    assert "at most 1 MB and 1 megapixels" in page.locator("[role=alert]").inner_text()


@pytest.mark.slow
def test_other_outputs_and_a_concept_are_explained(open_page):
    page = open_page()
    shown(page, ["7", "5"])
    page.get_by_text("Concepts made of example pictures").click()
    page.locator("#cdam-concept input, #cdam-concept textarea").first.fill("reds")
    files = [{"name": f"{n}.png", "mimeType": "image/png", "buffer": png(colour=(200, 9 * n, 9))} for n in range(2)]
    page.set_input_files("#cdam-concept-files input[type=file]", files)
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Add the concept").click()
    shown(page, ["reds", "7"])


@pytest.mark.slow
def test_a_closed_page_is_forgotten(open_page, server):
    served, _ = server
    page = open_page()
    shown(page, ["7", "5"])
    before = len(served.visits)
    page.close()
    for _ in range(100):
        if len(served.visits) < before:
            return
        time.sleep(0.2)
    raise AssertionError("the page's picture is still kept")


@pytest.mark.slow
def test_on_a_phone_nothing_is_wider_than_the_screen(open_page):
    page = open_page("", viewport={"width": 390, "height": 844})
    shown(page, ["7", "5"])
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
