"""Tables of a results folder as Markdown, CSV and LaTeX."""

from pathlib import Path

from cdam_bench.reporting.comparisons import Comparison, remove_stale
from cdam_bench.reporting.formats import to_csv, to_markdown
from cdam_bench.reporting.latex import to_latex
from cdam_bench.reporting.means import make_tables
from cdam_bench.store.files import write_atomically

WRITERS = {"md": to_markdown, "csv": to_csv, "tex": to_latex}


def write_tables(comparisons: list[Comparison], output_dir: Path) -> list[Path]:
    """Write every table as <dataset>/<backbone>/<table>.{md,csv,tex}, and all of them together as tables.md.

    Args:
        comparisons: from `read_comparisons`.
        output_dir: created if need be; tables of these comparisons that no longer hold are removed.
    Returns:
        The files written, tables.md last.
    """
    written, page = [], []
    for comparison in comparisons:
        for table in make_tables(comparison):
            page.append(f"## {comparison.title}: {table.title.lower()}\n\n{to_markdown(table)}")
            for extension, convert in WRITERS.items():
                path = output_dir / comparison.file_name(table.name, extension)
                write_atomically(path, convert(table).encode(), durable=False)
                written.append(path)
    remove_stale(written, "tables")
    together = output_dir / "tables.md"
    write_atomically(together, "\n".join(page).encode(), durable=False)
    return [*written, together]
