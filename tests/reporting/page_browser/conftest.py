"""One Chromium for these tests, and one loading of each report: a test chooses by the URL's hash, which builds the page anew."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from cdam_bench.reporting.page.assembling import page_html
from tests.reporting.page_browser.report_data import HOSTILE, report

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
TIMEOUT = 120_000  # ms: a busy machine
CHOOSE = """hash => new Promise(done => {
    document.getElementById('enlarged').close();
    delete document.documentElement.dataset.theme;
    scrollTo(0, 0);
    addEventListener('hashchange', done, {once: true});
    location.hash = hash;
})"""
DRAWN = "() => ['cost', 'scatter', 'curves'].every(id => document.querySelector(`#${id} svg .mark-symbol path`))"


@dataclass
class Opened:
    """A report in the browser, what it said and what it asked for.

    Args:
        page: Playwright's.
        said: messages of the console and errors.
        requests: addresses; pictures held in the page itself are not among them.
    """

    page: Any
    said: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments, timeout=TIMEOUT)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def reports(browser, tmp_path_factory) -> dict[str, Opened]:
    """Loaded once: an ordinary report, and one with a script wherever a user may write."""
    folder = tmp_path_factory.mktemp("report")
    return {
        name: _load(browser, folder / f"{name}.html", hostile)
        for name, hostile in (("plain", ""), ("hostile", HOSTILE))
    }


def _load(browser: Any, file: Path, hostile: str) -> Opened:
    file.write_text(page_html(report(hostile)), "utf-8")
    loaded = Opened(browser.new_context(reduced_motion="reduce").new_page())
    loaded.page.set_default_timeout(TIMEOUT)
    loaded.page.on("console", lambda message: loaded.said.append(message.text))
    loaded.page.on("pageerror", lambda error: loaded.said.append(str(error)))
    loaded.page.on(
        "request", lambda asked: None if asked.url.startswith("data:") else loaded.requests.append(asked.url)
    )
    loaded.page.goto(file.as_uri())
    return loaded


@pytest.fixture
def opened(reports) -> Callable[..., Opened]:
    """A report as if just opened: `opened("plain", chosen="off=cdam", width=390, scheme="dark")`."""
    fresh = count()

    def open_report(name: str = "plain", chosen: str = "", width: int = 1440, scheme: str = "light") -> Opened:
        found = reports[name]
        found.page.emulate_media(media="screen", color_scheme=scheme)
        found.page.set_viewport_size({"width": width, "height": 900})
        found.page.evaluate(CHOOSE, f"{chosen}&test={id(fresh)}.{next(fresh)}")  # never the hash of the test before
        found.page.wait_for_function(DRAWN)
        return found

    return open_report
