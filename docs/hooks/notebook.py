"""The tutorial's notebook becomes a page: it is run, and what its cells print and draw stands below them."""

import base64
from pathlib import Path

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient

NOTEBOOK, PAGE = "tutorial.ipynb", "tutorial.md"
TOP = "Download: [script](tutorial.py)."


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put the page and its pictures in the place of the notebook."""
    notebook = nbformat.read(Path(config.docs_dir, NOTEBOOK), as_version=4)
    if config.extra["run_tutorial"]:
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": config.docs_dir}}).execute()
    files.remove(files.src_uris[NOTEBOOK])
    parts, pictures = [], {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for output in cell.outputs:
            picture = output.get("data", {}).get("image/png")
            if picture:
                name = f"images/tutorial_{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode(picture)
                parts.append(f"![What the cell shows]({name})")
            elif text := output.get("text") or output.get("data", {}).get("text/plain"):
                parts.append(f"```text\n{text.rstrip()}\n```")
    files.append(File.generated(config, PAGE, content="\n\n".join([*parts, TOP])))
    for name, content in pictures.items():
        files.append(File.generated(config, name, content=content))
    return files
