"""The report: one page that can be opened, sent and read without anything else."""

from pathlib import Path

from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.reporting.cost import Speed
from cdam_bench.reporting.page.assembling import page_html
from cdam_bench.reporting.page.data import Gallery, page_values
from cdam_bench.store.files import write_atomically


def write_report(
    comparisons: list[Comparison], output_dir: Path, speeds: list[Speed], gallery: Gallery
) -> tuple[Path, list[str]]:
    """Write index.html.

    Args:
        comparisons: from `read_comparisons`.
        output_dir: its folder, created if need be.
        speeds: from `read_speeds`, for the cost in forward passes.
        gallery: how many images are shown with maps.
    Returns:
        The page, and a line for everything that could not be shown.
    """
    values, problems = page_values(comparisons, speeds, gallery)
    page = output_dir / "index.html"
    write_atomically(page, page_html(values).encode())
    return page, problems
