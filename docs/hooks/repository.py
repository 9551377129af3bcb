"""Files of the repository that pages link to become part of the site; links are written as they work in the repository."""

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PAGES = ("CHANGELOG.md", "CONTRIBUTING.md")  # of the repository's root, named in the nav
LINK = re.compile(r"(?<=\]\()([^)\s:#]+)(?=[)#])")
SHOWN_AS = {"docs/tutorial.ipynb": "tutorial.md"}  # made by notebook.py


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what pages link to outside docs/, and what that links to in turn."""
    root = Path(config.config_file_path).parent
    waiting = {
        link
        for file in files.documentation_pages()
        for link in links(f"docs/{file.src_uri}", Path(str(file.abs_src_path)).read_text(encoding="utf-8"))
    } | set(PAGES)
    while waiting:
        path = waiting.pop()
        target = site_path(path, root)
        if target.startswith("..") or files.get_file_from_path(target) or not (root / path).exists():
            continue  # what is not there is reported by MkDocs
        if (root / path).is_dir():
            text = listing(root / path)
            files.append(File.generated(config, target, content=text))
            waiting |= links(f"{path}/index.md", text)
        else:
            files.append(File.generated(config, target, abs_src_path=str(root / path)))
            if path.endswith(".md"):
                waiting |= links(path, (root / path).read_text(encoding="utf-8"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_others: object) -> str:
    """Turn a page's links, which hold between files of the repository, into links between files of the site."""
    root = Path(config.config_file_path).parent
    inside = (root / "docs" / page.file.src_uri).exists() or page.file.src_uri in SHOWN_AS.values()
    folder = PurePosixPath("docs" if inside else "", page.file.src_uri).parent
    here = str(PurePosixPath(page.file.src_uri).parent)

    def on_site(match: re.Match[str]) -> str:
        return relpath(site_path(normpath(folder / match[1]), root), here)

    return LINK.sub(on_site, markdown)


def links(page: str, text: str) -> set[str]:
    """Files of the repository that a page, named by its own path there, links to."""
    return {normpath(PurePosixPath(page).parent / link) for link in LINK.findall(text)}


def site_path(path: str, root: Path) -> str:
    """Where a file or a folder of the repository stands on the site, as MkDocs names its sources."""
    room = re.fullmatch(r"cdam_bench/(\w+)", path)
    if room and (root / "docs" / "api" / f"{room[1]}.md").exists():
        return f"api/{room[1]}.md"
    if (root / path).is_dir():
        return f"{path}/index.md"
    return SHOWN_AS.get(path) or path.removeprefix("docs/")


def listing(folder: Path) -> str:
    """A page with a link to each file below a folder."""
    names = sorted(str(file.relative_to(folder).as_posix()) for file in folder.rglob("*") if file.is_file())
    return "\n".join([f"# {folder.name}", "", *(f"* [{name}]({name})" for name in names)])
