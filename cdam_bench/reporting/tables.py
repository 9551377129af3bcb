"""Tables: mean scores with intervals, estimators in rows, the paper's numbers beside ours; as Markdown, CSV and LaTeX."""

import csv
import io
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from cdam_bench.drawing.names import display_name
from cdam_bench.reporting.comparisons import Comparison, remove_stale
from cdam_bench.reporting.markdown import markdown_rows
from cdam_bench.statistics import RESAMPLES, Interval, holm, mean_intervals, paired_p_values
from cdam_bench.store.files import write_atomically

PAPER_BACKBONE = "dino_vits8"
SIGNIFICANCE = 0.05
LOGIT_PERCENT = "logit · percent"
R_PERCENT = "correlation · percent of the image side"


@dataclass(frozen=True)
class Column:
    """A score as it stands in a table.

    Args:
        score: its column in scores.csv.
        label: its heading.
        unit: what it is measured in.
        better: +1 where high is good, −1 where low is good, 0 where neither is.
        decimals: digits behind the point.
    """

    score: str
    label: str
    unit: str
    better: int = 0
    decimals: int = 2

    @property
    def heading(self) -> str:
        return self.label + {1: " ↑", -1: " ↓", 0: ""}[self.better]


@dataclass(frozen=True)
class Layout:
    """A table's columns, of which it shows those that were measured, and what its caption says about them."""

    name: str
    title: str
    columns: tuple[Column, ...]
    note: str = ""


LAYOUTS = (
    Layout(
        "correctness",
        "Correctness",
        (
            Column("A_MIF", "A_MIF", LOGIT_PERCENT, -1, 1),
            Column("A_LIF", "A_LIF", LOGIT_PERCENT, 1, 1),
            Column("A_LIF-MIF", "A_LIF−MIF", LOGIT_PERCENT, 1, 1),
            Column("A_box", "A_box", R_PERCENT, 1),
            Column("mean_r", "mean r", "correlation", 1),
            Column("A_MIF_patch", "A_MIF by patch", LOGIT_PERCENT, -1, 1),
            Column("A_LIF_patch", "A_LIF by patch", LOGIT_PERCENT, 1, 1),
            Column("A_LIF-MIF_patch", "A_LIF−MIF by patch", LOGIT_PERCENT, 1, 1),
        ),
        "“By patch”: maps averaged over each patch before ranking.",
    ),
    Layout(
        "class_discrimination",
        "Class discrimination",
        (
            Column("delta_A_LIF-MIF", "ΔA_LIF−MIF", LOGIT_PERCENT, 1, 1),
            Column("delta_A_box", "ΔA_box", R_PERCENT, 1),
            Column("delta_A_LIF-MIF_patch", "ΔA_LIF−MIF by patch", LOGIT_PERCENT, 1, 1),
            Column("wrong_A_LIF-MIF", "A′_LIF−MIF", LOGIT_PERCENT, 0, 1),
            Column("wrong_A_box", "A′_box", R_PERCENT),
            Column("wrong_A_LIF-MIF_patch", "A′_LIF−MIF by patch", LOGIT_PERCENT, 0, 1),
        ),
        "Δ = A − A′: A with the target's own map, A′ with the other class's map, the target's logit recorded in both; "
        "0 for a method that is blind to the class.",
    ),
    Layout(
        "compactness",
        "Compactness",
        (Column("compactness", "compactness", "share of the pixels"),),
        "Share of pixels near zero. Neither high nor low is better in itself, so none is marked.",
    ),
    Layout(
        "localisation",
        "Localisation",
        (
            Column("right_box", "right object", "share of the images", 1),
            Column("other_right_box", "right object, other class", "share of the images", 1),
            Column("pointing_game", "pointing game", "share of the images", 1),
            Column("positive_share", "positive importance in the box", "share", 1),
            Column("other_positive_share", "positive importance in the box, other class", "share", 1),
            Column("box_area", "chance (area of the box)", "share of the image"),
        ),
        "Right object: the map's sum is larger in its class's box than in the other class's; a map that is blind to the class is "
        "right for exactly one of the two classes. Pointing game: the largest value lies in the box. Positive importance in the "
        "box: on mosaics this is the grid pointing game. A map without structure would have the box's share of the image there.",
    ),
    Layout(
        "mask_localisation",
        "Localisation by masks",
        (
            Column("mask_pointing_game", "pointing game", "share of the images", 1),
            Column("mask_positive_share", "positive importance in the mask", "share", 1),
            Column("mask_area", "area of the mask", "share of the image"),
        ),
        "Pointing game: the largest value lies in the object's mask; pixels of a patch are tied, and any of them counts. The "
        "area is the positive share of a uniform map.",
    ),
)
MEASURED_ELSEWHERE = re.compile(r"image|(target\d*|other)(_logit)?|(other|wrong|delta|target\d+)_.*")


@dataclass(frozen=True)
class Entry:
    """One number of a table.

    Args:
        interval: our mean.
        missing: images of the cell where the score is NaN.
        best: the best mean, and a paired test against every other method supports it.
        paper: the paper's number as printed, or "".
    """

    interval: Interval
    missing: int
    best: bool
    paper: str


@dataclass(frozen=True)
class Table:
    """A table of one comparison: rows[i][j] is cell i's entry in column j."""

    comparison: Comparison
    layout: Layout
    columns: list[Column]
    rows: list[list[Entry]]

    def has_paper(self, column: int) -> bool:
        return any(row[column].paper for row in self.rows)

    @property
    def has_patch(self) -> bool:
        return any(column.score.endswith("_patch") for column in self.columns)


def make_tables(comparison: Comparison) -> list[Table]:
    """All tables that the scores of a comparison fill; none for cells of several outputs, which have their own (lidc.py)."""
    if comparison.outputs:
        return []
    measured = list(dict.fromkeys(name for cell in comparison.cells for name in cell.scores.columns))
    known = {column.score for layout in LAYOUTS for column in layout.columns}
    further = [name for name in measured if name not in known and not MEASURED_ELSEWHERE.fullmatch(name)]
    layouts = [*LAYOUTS, Layout("further_scores", "Further scores", tuple(Column(name, name, "") for name in further))]
    tables = []
    for layout in layouts:
        columns = [column for column in layout.columns if column.score in measured]
        if columns:
            tables.append(Table(comparison, layout, columns, _rows(comparison, columns)))
    return tables


def _rows(comparison: Comparison, columns: list[Column]) -> list[list[Entry]]:
    scores = [column.score for column in columns]
    values = np.stack([comparison.values(cell, scores) for cell in comparison.cells], 1)  # (images, cells, columns)
    intervals = mean_intervals(values.reshape(len(values), -1))
    complete = np.array([cell.is_complete for cell in comparison.cells])
    paper = paper_numbers().get(comparison.dataset, {}) if comparison.backbone == PAPER_BACKBONE else {}
    rows: list[list[Entry]] = []
    for i, cell in enumerate(comparison.cells):
        row = []
        for j, column in enumerate(columns):
            interval = intervals[i * len(columns) + j]
            printed = paper.get(cell.key.estimator, {}).get(column.score, "")
            row.append(Entry(interval, len(cell.scores) - interval.count, False, printed))
        rows.append(row)
    for j, column in enumerate(columns):
        best = supported_best(values[:, complete, j] * column.better) if column.better else None
        if best is not None:
            i = int(np.flatnonzero(complete)[best])
            rows[i][j] = Entry(rows[i][j].interval, rows[i][j].missing, True, rows[i][j].paper)
    return rows


def supported_best(values: np.ndarray) -> int | None:
    """The method with the highest mean, if it beats every other one in a paired test.

    Args:
        values: (images, methods), high is good.
    Returns:
        Its index; None if there is no other method, or one that the Holm-corrected test cannot tell from it.
    """
    if values.shape[1] < 2 or not np.isfinite(values).any(0).all():
        return None
    means = np.nanmean(values, axis=0)
    best = int(means.argmax())
    others = np.delete(values, best, axis=1)
    supported = holm(paired_p_values(values[:, [best]] - others)) <= SIGNIFICANCE
    return best if supported.all() else None


@lru_cache
def paper_numbers() -> dict[str, dict[str, dict[str, str]]]:
    """The paper's tables: dataset → estimator → score → number as printed.

    On which images compactness was measured is not said: it stands with imagenet_multi here. Integrated CDAM's A_LIF-MIF on
    imagenet_random, 753, is kept as it is, though it is not the difference of its neighbours, 1459 − 696.

    Source: Brocki et al. 2024.
    """
    text = files("cdam_bench.reporting").joinpath("paper_tables.csv").read_text(encoding="utf-8")
    numbers: dict[str, dict[str, dict[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        numbers.setdefault(row.pop("dataset"), {})[row.pop("estimator")] = row
    return numbers


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
    comparison = table.comparison
    settings = comparison.settings
    counts = sorted({cell.num_images for cell in comparison.cells})
    units: dict[str, list[str]] = {}
    for column in table.columns:
        if column.unit:
            units.setdefault(column.unit, []).append(column.label)
    sentences = [
        f"{table.layout.title} on {comparison.dataset}, backbone {comparison.backbone}",
        f"Mean over {' or '.join(map(str, counts))} images [95 % percentile-bootstrap interval over images, "
        f"{RESAMPLES} resamples]",
        "Units: " + "; ".join(f"{', '.join(labels)} in {unit}" for unit, labels in units.items()) if units else "",
        table.layout.note if table.has_patch or "“By patch”" not in table.layout.note else "",
    ]
    if any(column.better for column in table.columns):
        sentences.append(
            "Arrows show the good direction; bold: the best mean, only where a paired sign-flip test against every other "
            "complete row supports it (5 %, Holm-corrected)"
        )
    sentences.append(
        f"Precision {settings['precision']}, seed {settings['seed']}, target_order {settings['target_order']}"
    )
    missing = [
        f"{display_name(cell.key.estimator)} {column.label} {entry.missing}"
        for cell, row in zip(comparison.cells, table.rows, strict=True)
        for column, entry in zip(table.columns, row, strict=True)
        if entry.missing
    ]
    if missing:
        sentences.append(f"Images left out because the score is undefined (NaN): {', '.join(missing)}")
    partial = [cell for cell in comparison.cells if not cell.is_complete]
    if partial:
        rows = ", ".join(f"{display_name(c.key.estimator)} ({len(c.scores)} of {c.num_images} images)" for c in partial)
        sentences.append(f"Not finished, and in no test: {rows}")
    if comparison.distinction:
        sentences.append(f"This table is for {comparison.distinction}; cells with other settings have their own")
    if any(table.has_paper(j) for j in range(len(table.columns))):
        sentences.append("Paper: the number printed in the paper, which gives no intervals")
    return " ".join(f"{sentence.rstrip('.')}." for sentence in sentences if sentence)


def row_name(table: Table, i: int) -> str:
    """The estimator's name, with the number of images where the cell is not finished."""
    cell = table.comparison.cells[i]
    name = display_name(cell.key.estimator)
    return name if cell.is_complete else f"{name} ({len(cell.scores)} of {cell.num_images})"


def _grid(table: Table, bold: Callable[[str], str]) -> list[list[str]]:
    """Headings and rows as text."""
    grid = [["Estimator"]]
    for j, column in enumerate(table.columns):
        grid[0] += [column.heading, "paper"] if table.has_paper(j) else [column.heading]
    for i, row in enumerate(table.rows):
        line = [row_name(table, i)]
        for j, (column, entry) in enumerate(zip(table.columns, row, strict=True)):
            text = format_interval(entry.interval, column.decimals)
            line.append(bold(text) if entry.best else text)
            if table.has_paper(j):
                line.append(entry.paper.replace("-", "−") or "–")
        grid.append(line)
    return grid


def to_markdown(table: Table) -> str:
    """The caption and a table of GitHub's kind."""
    heading, *rows = ([text.replace("|", "\\|") for text in line] for line in _grid(table, lambda text: f"**{text}**"))
    rule = ["---", *["---:"] * (len(heading) - 1)]
    return f"{caption(table)}\n\n{markdown_rows([heading, rule, *rows])}\n"


CSV_HEADING = (
    *("dataset", "backbone", "variant", "estimator", "score", "unit", "better"),
    *("mean", "low", "high", "n", "nan", "num_images", "complete", "best", "paper"),
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
                    *(column.score, column.unit, {1: "high", -1: "low", 0: ""}[column.better]),
                    *(*numbers, interval.count, entry.missing, cell.num_images),
                    *(str(cell.is_complete).lower(), str(entry.best).lower(), entry.paper),
                ]
            )
    return buffer.getvalue()


LATEX_SIGNS = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "−": "$-$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "Δ": r"$\Delta$",
    "′": "$'$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "–": "--",
    "“": "``",
    "”": "''",
}


def to_latex(table: Table) -> str:
    """A table environment with booktabs rules; needs \\usepackage{booktabs} and graphicx."""
    heading, *rows = _grid(table, lambda text: f"\0{text}\1")
    lines = [" & ".join(map(_latex, line)) + r" \\" for line in (heading, *rows)]
    variant = f"_{table.comparison.variant}" if table.comparison.variant else ""
    label = f"tab:{table.comparison.dataset}_{table.comparison.backbone}_{table.layout.name}{variant}"
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            f"\\caption{{{_latex(caption(table))}}}",
            f"\\label{{{label}}}",
            r"\resizebox{\linewidth}{!}{%",
            f"\\begin{{tabular}}{{l{'r' * (len(heading) - 1)}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
            "",
        ]
    )


def _latex(text: str) -> str:
    """Escape for LaTeX; subscripts of A become real ones; \\0 … \\1 encloses what is bold."""
    subscripts = re.split(r"(A′?_[A-Za-z]+(?:−[A-Za-z]+)?)", text)
    parts = []
    for i, part in enumerate(subscripts):
        if i % 2:
            base, _, index = part.partition("_")
            parts.append(f"${base.replace('′', chr(39))}_{{\\mathrm{{{index.replace('−', '-')}}}}}$")
        else:
            parts.append("".join(LATEX_SIGNS.get(sign, sign) for sign in part))
    return "".join(parts).replace("\0", r"\textbf{").replace("\1", "}")


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
            page.append(f"## {comparison.title}: {table.layout.title.lower()}\n\n{to_markdown(table)}")
            for extension, convert in WRITERS.items():
                path = output_dir / comparison.file_name(table.layout.name, extension)
                write_atomically(path, convert(table).encode(), durable=False)
                written.append(path)
    remove_stale(output_dir, written, [*(layout.name for layout in LAYOUTS), "further_scores"], WRITERS)
    together = output_dir / "tables.md"
    write_atomically(together, "\n".join(page).encode(), durable=False)
    return [*written, together]
