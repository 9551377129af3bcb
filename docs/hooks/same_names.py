"""Functions that have the name of their file: the API's pages name them by their full path, or the file would be taken for them."""

import ast
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_others: object) -> str:
    """Add to the page of a room the public names that its files have, too."""
    place = PurePosixPath(page.file.src_uri)
    room = Path(config.config_file_path).parent / "cdam_bench" / place.stem
    if place.parent.name != "api" or not room.is_dir():
        return markdown
    shared = [name for name in public_names(room / "__init__.py") if (room / f"{name}.py").exists()]
    return "\n\n".join([markdown, *(f"::: cdam_bench.{room.name}.{name}.{name}" for name in shared)])


def public_names(file: Path) -> list[str]:
    """What a module lists in `__all__`; it is read, not run."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return ast.literal_eval(node.value)
    return []
