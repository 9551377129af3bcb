"""Tables as Markdown and CSV, with what a reader needs to judge the numbers."""

import csv
import io
import math
from collections.abc import Callable

from cdam_bench.drawing.names import display_name
from cdam_bench.reporting.intervals import interval_words
from cdam_bench.reporting.layout import notes_of
from cdam_bench.reporting.markdown import markdown_rows
from cdam_bench.reporting.means import Table
from cdam_bench.reporting.remaining import Remaining
from cdam_bench.statistics import Interval
from cdam_bench.store.results import CellResult

WILSON = "Wilson’s score interval"


def format_number(value: float, decimals: int) -> str:
    """`value` with a true minus sign, and no minus at zero."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if not text.strip("-0.") else text.replace("-", "−")


def format_interval(interval: Interval, decimals: int) -> str:
    """`mean [low, high]`."""
    mean, low, high = (format_number(value, decimals) for value in (interval.mean, interval.low, interval.high))
    return f"{mean} [{low}, {high}]" if interval.count > 1 else mean


def caption(table: Table) -> str:
    """Everything a reader needs to judge the numbers."""
    return " ".join(sentences_of(table))


def sentences_of(table: Table) -> list[str]:
    """What a caption says: what it is of, the mean and its interval, then all else."""
    comparison = table.comparison
    settings = comparison.settings
    sentences = [
        f"{table.title} on {comparison.dataset}, backbone {comparison.backbone}",
        f"Mean over {comparison.counts} images [{interval_words(bool(table.proportions), WILSON)}]",
        _units(table),
        *notes_of(table.columns),
        *remaining_sentences(table.remaining),
    ]
    if any(column.better for column in table.columns):
        sentences.append("Arrows show the good direction")
        if table.family.tests:
            sentences += [
                "Bold: the best mean, only where paired sign-flip tests against every other complete row support it "
                f"({table.family.words}: each score's best mean against all others, in all tables of {comparison.title})",
                table.family.warning,
            ]
    sentences.append(
        f"Precision {settings['precision']}, seed {settings['seed']}, target_order {settings['target_order']}"
    )
    sentences += exceptions(table).values()
    if comparison.distinction:
        sentences.append(f"This table is for {comparison.distinction}; cells with other settings have their own")
    if any(table.has_paper(j) for j in range(len(table.columns))):
        sentences.append("Paper: the number printed in the paper, which gives no intervals")
    return [f"{sentence.rstrip('.')}." for sentence in sentences if sentence]


def remaining_sentences(remaining: list[Remaining]) -> list[str]:
    """What the perturbation leaves of the logit, a sentence for each kind of it."""
    sentences = []
    for one in remaining:
        which = f" ({'; '.join(one.curves)})" if len(remaining) > 1 else ""
        share = f": {format_number(100 * one.share, 0)} % is left" if math.isfinite(one.share) else ""
        ends = [format_number(value, 2) for value in (one.start, one.end)]
        sentences.append(
            f"At 100 % perturbation{which} the target's mean logit is {ends[1]}, unperturbed {ends[0]}{share}"
        )
    return sentences


def _units(table: Table) -> str:
    """Which columns are in which unit."""
    units: dict[str, list[str]] = {}
    for column in table.columns:
        if column.unit:
            units.setdefault(column.unit, []).append(column.text)
    return "Units: " + "; ".join(f"{', '.join(names)} in {unit}" for unit, names in units.items()) if units else ""


def exceptions(table: Table) -> dict[str, str]:
    """A sentence on images left out ("undefined"), and one on cells that are not finished ("partial"), where there are such."""
    missing = [
        f"{display_name(cell.key.estimator)} {column.text} {entry.missing}"
        for cell, row in zip(table.comparison.cells, table.rows, strict=True)
        for column, entry in zip(table.columns, row, strict=True)
        if entry.missing
    ]
    partial = [
        f"{display_name(cell.key.estimator)} ({len(cell.scores)} of {cell.num_images} images)"
        for cell in table.comparison.cells
        if not cell.is_complete
    ]
    told = {
        "undefined": ("Images left out because the score is undefined (NaN)", missing),
        "partial": ("Not finished, and in no test", partial),
    }
    return {kind: f"{what}: {', '.join(which)}" for kind, (what, which) in told.items() if which}


def row_name(cell: CellResult) -> str:
    """The estimator's name, with the number of images where the cell is not finished."""
    name = display_name(cell.key.estimator)
    return name if cell.is_complete else f"{name} ({len(cell.scores)} of {cell.num_images})"


def text_grid(table: Table, bold: Callable[[str], str]) -> list[list[str]]:
    """Headings and rows as text."""
    grid = [["Estimator"]]
    for j, column in enumerate(table.columns):
        grid[0] += [column.heading, "paper"] if table.has_paper(j) else [column.heading]
    for i, row in enumerate(table.rows):
        line = [row_name(table.comparison.cells[i])]
        for j, (column, entry) in enumerate(zip(table.columns, row, strict=True)):
            text = format_interval(entry.interval, column.decimals)
            line.append(bold(text) if entry.best else text)
            if table.has_paper(j):
                line.append(entry.paper.replace("-", "−") or "–")
        grid.append(line)
    return grid


def to_markdown(table: Table) -> str:
    """The caption and a table of GitHub's kind."""
    heading, *rows = (
        [text.replace("|", "\\|") for text in line] for line in text_grid(table, lambda text: f"**{text}**")
    )
    rule = ["---", *["---:"] * (len(heading) - 1)]
    return f"{caption(table)}\n\n{markdown_rows([heading, rule, *rows])}\n"


CSV_HEADING = (
    *("dataset", "backbone", "variant", "estimator", "score", "unit", "better"),
    *("mean", "low", "high", "n", "nan", "num_images", "complete", "best", "paper", "interval"),
)


def to_csv(table: Table) -> str:
    """One line per estimator and score, for machines."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_HEADING)
    comparison = table.comparison
    for cell, row in zip(comparison.cells, table.rows, strict=True):
        for column, entry in zip(table.columns, row, strict=True):
            interval = entry.interval
            # seven digits: more would differ between machines by rounding
            numbers = [f"{value:.7g}" for value in (interval.mean, interval.low, interval.high)]
            writer.writerow(
                [
                    *(comparison.dataset, comparison.backbone, comparison.variant, cell.key.estimator),
                    *(column.name, column.unit, column.better),
                    *(*numbers, interval.count, entry.missing, cell.num_images),
                    *(str(cell.is_complete).lower(), str(entry.best).lower(), entry.paper),
                    "wilson" if column.name in table.proportions else "bootstrap",
                ]
            )
    return buffer.getvalue()
