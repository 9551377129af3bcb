"""The paper's figures as files: PDF whose text stays text, and LaTeX that puts them in with their captions."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from cdam_bench.drawing.style import PRINT_DPI, rendered
from cdam_bench.reporting.comparisons import Comparison, remove_stale
from cdam_bench.reporting.latex import escaped, label_of
from cdam_bench.reporting.paper_figures.catalogue import PaperFigure, left_out
from cdam_bench.reporting.paper_figures.drawn import Drawing, figures_of
from cdam_bench.store.files import write_atomically

PAPER = "Brocki et al. 2024"


def write_paper_figures(
    comparisons: Sequence[Comparison], output_dir: Path, wanted: Sequence[str], drawing: Drawing
) -> tuple[list[Path], list[str]]:
    """Write <dataset>/<backbone>/figure_<number>.pdf, and beside them figures.tex.

    Args:
        comparisons: from `read_comparisons`.
        output_dir: created if need be; figures of these comparisons that no longer hold are removed.
        wanted: numbers of the figures.
        drawing: how they are drawn; it collects what could not be.
    Returns:
        The files written, and a line for every figure that no cell of the folder is fit for.
    """
    made, written = [], []
    for figure in figures_of(comparisons, wanted, drawing):
        path = output_dir / figure.file
        write_atomically(path, rendered(figure.figure, "pdf", PRINT_DPI), durable=False)
        made.append(figure)
        written.append(path)
    for file, figures in groupby(made, lambda figure: figure.comparison.file_name("figures", "tex")):
        write_atomically(output_dir / file, "\n".join(map(included, figures)).encode(), durable=False)
        written.append(output_dir / file)
    remove_stale(written, "paper_figures")
    return written, left_out(wanted, made)


def included(figure: PaperFigure) -> str:
    """A figure environment; needs \\usepackage{graphicx}. The file has its size already: it is put in as it is."""
    environment = "figure*" if figure.is_wide else "figure"
    file, place = figure.file, figure.comparison.folder
    label = f"fig:{'_'.join(place.parts)}_{file.stem.removeprefix('figure_')}"
    about = f"% As Figure {figure.number} of {PAPER}" + (f"; {figure.source}" if figure.source else "")
    return "\n".join(
        [
            "".join(sign if sign.isprintable() else " " for sign in about),
            f"\\begin{{{environment}}}",
            r"\centering",
            f"\\includegraphics{{{file.name}}}",
            f"\\caption{{{escaped(figure.caption)}}}",
            f"\\label{{{label_of(label)}}}",
            f"\\end{{{environment}}}",
            "",
        ]
    )
