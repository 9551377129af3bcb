"""The site names every page, its links hold, and it builds without asking another server for anything."""

import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
import yaml

from tests.documented import DOCS, LINK, ROOT, page, pages, without_code

slugs = pytest.importorskip("pymdownx.slugs", reason="the site needs the extra docs")
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


def built(folder: Path, monkeypatch, run_tutorial: str) -> dict[Path, Page]:
    """The pages of the site, built strictly into a folder."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    monkeypatch.setenv("RUN_TUTORIAL", run_tutorial)
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return {file: Page(file) for file in folder.rglob("*.html")}


def test_the_site_builds_strictly_its_links_hold_and_it_fetches_nothing_from_elsewhere(tmp_path, monkeypatch):
    site = built(tmp_path, monkeypatch, "false")
    assert len(site) > len(named(SETTINGS["nav"]))
    for file, shown in site.items():
        if file.name == "404.html":
            continue  # its links begin at the server's root
        for link in shown.fetched + shown.led_to:
            url = urlparse(link)
            if url.scheme:
                assert link not in shown.fetched, (file, link)
                continue
            target = (file.parent / unquote(url.path)).resolve() if url.path else file
            assert target.is_file() or (target / "index.html").is_file(), (file, link)
            if url.fragment and target in site:
                assert unquote(url.fragment) in site[target].names, (file, link)
    assert "googleapis" not in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert not [file for file in tmp_path.rglob("*.css") if re.search(r"url\([\"']?https?:|@import", file.read_text())]
    documented = site[tmp_path / "api" / "estimators.html"].names
    assert {"cdam_bench.estimators.CDAM", "cdam_bench.estimators.DeepCDAM"} <= documented


@pytest.mark.slow
def test_the_tutorial_s_page_shows_what_its_cells_print_and_draw(tmp_path, monkeypatch):
    built(tmp_path, monkeypatch, "true")
    text = (tmp_path / "tutorial.html").read_text(encoding="utf-8")
    assert "attention differs by 0.0" in text
    assert (tmp_path / "images" / "tutorial_1.png").read_bytes()[:4] == b"\x89PNG"
    assert 'src="images/tutorial_1.png"' in text
