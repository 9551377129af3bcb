"""The report: one page with every table and figure, and what was run."""

import os
from pathlib import Path

from cdam_bench.drawing.names import display_name
from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.reporting.figures import captions
from cdam_bench.reporting.formats import to_markdown
from cdam_bench.reporting.markdown import markdown_rows
from cdam_bench.reporting.means import make_tables
from cdam_bench.reporting.outputs import outputs_markdown
from cdam_bench.store.files import write_atomically


def write_report(comparisons: list[Comparison], output_dir: Path, figures: list[Path], problems: list[str]) -> Path:
    """Write index.md.

    Args:
        comparisons: from `read_comparisons`.
        output_dir: its folder.
        figures: written by `write_figures`; the page shows the PNGs among them.
        problems: figures that could not be made, one line each.
    Returns:
        The page.
    """
    parts = ["# Results of cdam_bench", *(f"> {problem}" for problem in problems)]
    shown = set(figures)
    for comparison in comparisons:
        variant = f" ({comparison.distinction})" if comparison.distinction else ""
        parts.append(f"## {comparison.title}{variant}")
        parts += [f"### {table.title}\n\n{to_markdown(table).rstrip()}" for table in make_tables(comparison)]
        if comparison.outputs == "quantities":
            parts.append(f"### Maps of each output\n\n{outputs_markdown(comparison).rstrip()}")
        for name, title in captions(comparison).items():
            file = comparison.file_name(name, "png")
            for path in (path for path in shown if path.parts[-3:] == file.parts):
                link = Path(os.path.relpath(path, output_dir)).as_posix()
                parts.append(f"![{title}]({link})\n\n*{title}*")
        parts.append(f"### What was run\n\n{_runs(comparison)}")
    page = output_dir / "index.md"
    write_atomically(page, ("\n\n".join(parts) + "\n").encode())
    return page


def _runs(comparison: Comparison) -> str:
    """A line per cell: images, seconds, device, versions."""
    heading = ("Estimator", "images", "seconds", "seconds per image", "device", "versions")
    lines = [heading, ("---", "---:", "---:", "---:", "---", "---")]
    for cell in comparison.cells:
        about, done = cell.description, len(cell.scores)
        images = str(done) if cell.is_complete else f"{done} of {cell.num_images}"
        seconds = about.get("seconds")
        times = ("–", "–") if seconds is None else (f"{seconds:.1f}", f"{seconds / done:.2f}")
        versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
        lines.append((display_name(cell.key.estimator), images, *times, about["device"], versions))
    note = "Seconds: of the chunks, with what they shared through the store; who comes first computes it for all."
    return f"{markdown_rows(lines)}\n\n{note}"
