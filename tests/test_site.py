"""The site names every page, its links hold, and it builds without asking another server for anything."""

import functools
import re
import shutil
import threading
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
import yaml

from tests.documented import DOCS, LINK, ROOT, page, pages, without_code

slugs = pytest.importorskip("pymdownx.slugs", reason="the site needs the extra docs")
CONSTANTS = {"FEWEST_METHODS", "RESAMPLES"}  # have no docstring
CHROMIUM = shutil.which("chromium")
OUTSIDE = ["CHANGELOG.md", "CONTRIBUTING.md", "results/reference/README.md"]  # of the repository, in the nav
MADE = ["tutorial.md"]  # of the notebook


class Settings(yaml.SafeLoader):
    """mkdocs.yml without what MkDocs and Python mean by its tags."""


Settings.add_multi_constructor("!", lambda *_node: None)
Settings.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_node: None)
SETTINGS = yaml.load(page("mkdocs.yml"), Settings)


def named(entry):
    """Pages below an entry of the nav."""
    if isinstance(entry, str):
        return [entry]
    return [one for part in (entry.values() if isinstance(entry, dict) else entry) for one in named(part)]


def anchors(text: str) -> set[str]:
    """Names of a page's headings, as GitHub and the site make them."""
    slug, seen = slugs.slugify(case="lower"), []
    for heading in re.findall(r"^#+ (.*)$", without_code(text), flags=re.MULTILINE):
        seen.append(slug(re.sub(r"[`*]|\]\(.*?\)|\[", "", heading), "-"))
    return set(seen)


def test_the_nav_names_every_page_once():
    written = [str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")]
    assert sorted(named(SETTINGS["nav"])) == sorted(written + OUTSIDE + MADE)


@pytest.mark.parametrize("name", [*pages(), *OUTSIDE])
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(name):
    folder = (ROOT / name).parent
    for link in LINK.findall(without_code(page(name))):
        url = urlparse(link)
        if url.scheme:
            continue
        target = folder / unquote(url.path) if url.path else ROOT / name
        assert target.exists(), link
        if url.fragment and target.suffix == ".md":
            assert url.fragment in anchors(target.read_text(encoding="utf-8")), link


def test_the_workflow_needs_no_secret_and_pins_its_actions():
    text = page(".github/workflows/docs.yml")
    used = re.findall(r"uses: (\S+)", text)
    assert used
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", one) for one in used)
    assert "secrets" not in text
    assert "make docs" in text


class Page:
    """What a page of the site fetches, leads to, and can be led to."""

    def __init__(self, file: Path) -> None:
        text = file.read_text(encoding="utf-8")
        tags = re.findall(r"<(?:link|script|img|iframe|source)\b[^>]*>", text)
        loading = [tag for tag in tags if not re.search(r"rel=\"?(canonical|next|prev)", tag)]
        self.fetched = [match[1] for tag in loading if (match := re.search(r"\b(?:src|href)=\"([^\"]+)", tag))]
        self.led_to = [unescape(link) for link in re.findall(r"<a\b[^>]*\bhref=\"([^\"]+)", text)]
        self.names = {unescape(name) for name in re.findall(r"\bid=\"([^\"]+)", text)}


def build(folder: Path, run_tutorial: str) -> Path:
    """Build the site strictly into a folder."""
    from mkdocs.commands import build
    from mkdocs.config import load_config

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUN_TUTORIAL", run_tutorial)
        build.build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return build(tmp_path_factory.mktemp("site"), "false")


def test_links_of_the_built_site_hold_and_it_fetches_nothing_from_elsewhere(site):
    shown = {
        file: Page(file) for file in site.rglob("*.html") if file.name != "404.html"
    }  # whose links begin at a server's root
    assert len(shown) > len(named(SETTINGS["nav"]))
    for file, content in shown.items():
        for link in content.fetched + content.led_to:
            url = urlparse(link)
            if url.scheme:
                assert link not in content.fetched, (file, link)
                continue
            target = (file.parent / unquote(url.path)).resolve() if url.path else file
            assert target.is_file(), (file, link)
            if url.fragment and target in shown:
                assert unquote(url.fragment) in shown[target].names, (file, link)
    assert not [file for file in site.rglob("*.css") if re.search(r"url\([\"']?https?:|@import", file.read_text())]


def test_the_api_s_pages_document_the_public_names(site):
    for room in ("backbones", "estimators", "metrics", "datasets", "statistics"):
        documented = Page(site / "api" / f"{room}.html").names
        listed = re.search(r"__all__ = \[(.*?)\]", page(f"cdam_bench/{room}/__init__.py"), flags=re.DOTALL)
        public = set(re.findall(r'"(\w+)"', listed[1])) - CONSTANTS
        places = {name: {f"cdam_bench.{room}.{name}", f"cdam_bench.{room}.{name}.{name}"} for name in public}
        assert sorted(name for name in public if documented.isdisjoint(places[name])) == []
    assert "cdam_bench.explaining.explanation.explain" in Page(site / "api" / "explaining.html").names


@pytest.fixture(scope="module")
def address(site):
    """Where the built site is served."""
    handler = functools.partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_parts):
        pass


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize(("width", "colours"), [(1440, "light"), (390, "dark")])
def test_pages_open_without_a_complaint_a_foreign_request_or_sideways_scrolling(browser, address, width, colours):
    troubles = []
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=colours)
    page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "request", lambda asked: troubles.append(asked.url) if not asked.url.startswith((address, "data:")) else None
    )
    for name in ("index", "choosing", "methods", "gallery", "own_model", "api/estimators"):
        page.goto(f"{address}/{name}.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)"), name
    page.close()
    assert troubles == []


def test_the_search_is_reached_by_keyboard_and_finds_a_method(browser, address):
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(f"{address}/index.html")
    page.keyboard.press("/")
    page.keyboard.type("AttnLRP")
    page.locator(".md-search-result__link", has_text="Which method").first.wait_for()
    page.close()


@pytest.mark.slow
def test_the_tutorial_s_page_shows_what_its_cells_print_and_draw(tmp_path):
    build(tmp_path, "true")
    text = (tmp_path / "tutorial.html").read_text(encoding="utf-8")
    assert "attention differs by 0.0" in text
    assert (tmp_path / "images" / "tutorial_1.png").read_bytes()[:4] == b"\x89PNG"
    assert 'src="images/tutorial_1.png"' in text
