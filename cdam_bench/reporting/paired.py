"""What the tables of means do not tell: differences on the same images, and whether two scores order the methods alike."""

import csv
import io
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from cdam_bench.drawing.names import display_name
from cdam_bench.reporting.comparisons import Comparison, remove_stale
from cdam_bench.reporting.formats import format_interval
from cdam_bench.reporting.layout import compared, headlines
from cdam_bench.reporting.markdown import markdown_rows
from cdam_bench.reporting.means import SIGNIFICANCE
from cdam_bench.statistics import (
    RESAMPLES,
    Interval,
    agreement_of_means,
    holm,
    mean_intervals,
    paired_p_values,
    rank_correlations,
)
from cdam_bench.store.columns import Column
from cdam_bench.store.files import write_atomically

REFERENCE = "cdam"  # the method that the others are subtracted from
ASPECTS = ("faithfulness", "localisation")  # whose headlines are compared in how they order the methods
EXTENSIONS = ("md", "csv")


@dataclass(frozen=True)
class Difference:
    """Mean of (a method − the reference) over the same images.

    Args:
        estimator: the method.
        column: the score.
        interval: of the mean difference; its count is the number of images where both are known.
        p_value: of a paired sign-flip test, Holm-corrected over the methods that the reference is compared with in this score.
    """

    estimator: str
    column: Column
    interval: Interval
    p_value: float


@dataclass(frozen=True)
class Agreement:
    """Do two scores order the methods alike?

    Args:
        first, second: the scores.
        of_means: Spearman's correlation of the methods' means, over methods.
        per_image: the mean over images of the correlation over methods on one image.
    """

    first: Column
    second: Column
    of_means: Interval
    per_image: Interval


def differences(comparison: Comparison, reference: str = REFERENCE) -> list[Difference]:
    """Every finished method against the reference, in every score whose metric says that methods are compared in it.

    Returns:
        Method by method, each with all scores; empty if the reference or the others are not finished.
    """
    cells = {cell.key.estimator: cell for cell in comparison.complete_cells}
    others = [name for name in cells if name != reference]
    if reference not in cells or not others:
        return []
    columns = _everywhere(comparison, compared(comparison))
    scores = [column.name for column in columns]
    values = {name: comparison.values(cell, scores) for name, cell in cells.items()}
    gaps = np.stack([values[name] - values[reference] for name in others], 1)  # (images, methods, scores)
    flat = gaps.reshape(len(gaps), -1)
    intervals = mean_intervals(flat)
    p_values = paired_p_values(flat).reshape(len(others), len(columns))
    corrected = np.stack([holm(column) for column in p_values.T], 1)
    return [
        Difference(name, column, intervals[i * len(columns) + j], float(corrected[i, j]))
        for i, name in enumerate(others)
        for j, column in enumerate(columns)
    ]


def agreements(comparison: Comparison) -> list[Agreement]:
    """Every headline of faithfulness with every one of localisation, over the finished methods; empty for fewer than three."""
    cells = comparison.complete_cells
    if len(cells) < 3:
        return []
    found = []
    both = (_everywhere(comparison, headlines(comparison, aspect)) for aspect in ASPECTS)
    for first, second in product(*both):
        values = np.stack([comparison.values(cell, [first.name, second.name]) for cell in cells], 1)
        own, other = values[..., 0], values[..., 1]  # each (images, methods)
        (per_image,) = mean_intervals(rank_correlations(own, other)[:, None])
        found.append(Agreement(first, second, agreement_of_means(own, other), per_image))
    return found


def _everywhere(comparison: Comparison, columns: list[Column]) -> list[Column]:
    """Those of the columns that every finished cell has."""
    have = [set(cell.scores.columns) for cell in comparison.complete_cells]
    return [column for column in columns if all(column.name in names for names in have)]


def differences_page(comparison: Comparison, found: list[Difference]) -> str:
    """Markdown: methods in rows, scores in columns."""
    columns = list(dict.fromkeys(difference.column for difference in found))
    rows: dict[str, list[str]] = {}
    for difference in found:
        text = format_interval(difference.interval, difference.column.decimals)
        text = f"**{text}**" if difference.p_value <= SIGNIFICANCE else text
        rows.setdefault(display_name(difference.estimator), []).append(text)
    note = (
        f"Differences from {display_name(REFERENCE)} on the same images of {comparison.title}: mean of (method − "
        f"{display_name(REFERENCE)}) [95 % percentile-bootstrap interval over images, {RESAMPLES} resamples]. "
        "Bold: a paired sign-flip test says it is not zero (5 %, Holm-corrected over the methods, score by score)."
    )
    heading = ["Estimator", *(column.heading for column in columns)]
    return _page(note, heading, [[name, *texts] for name, texts in rows.items()])


def agreement_page(comparison: Comparison, found: list[Agreement]) -> str:
    """Markdown: a row per pair of scores."""
    note = (
        f"Do {' and '.join(ASPECTS)} order the {found[0].of_means.count} methods alike, on {comparison.title}? Spearman's rank "
        "correlation over methods, of their means (interval: images resampled, 95 %), and on each image alone (mean over images, "
        "95 % bootstrap interval; images where a score is undefined or equal for all methods are left out)."
    )
    heading = [*map(str.capitalize, ASPECTS), "of the means", "per image", "images"]
    rows = [
        [
            *(agreement.first.text, agreement.second.text),
            *(format_interval(interval, 2) for interval in (agreement.of_means, agreement.per_image)),
            str(agreement.per_image.count),
        ]
        for agreement in found
    ]
    return _page(note, heading, rows)


def _page(note: str, heading: list[str], rows: list[list[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return f"{note}\n\n{markdown_rows(lines)}\n"


def differences_csv(found: list[Difference]) -> str:
    """For machines: a line per method and score."""
    heading = ("estimator", "reference", "score", "difference", "low", "high", "n", "p_holm")
    return _csv(heading, [[d.estimator, REFERENCE, d.column.name, d.interval, _digits(d.p_value)] for d in found])


def agreement_csv(found: list[Agreement]) -> str:
    """For machines: two lines per pair of scores."""
    heading = ("first", "second", "over", "spearman", "low", "high", "n")
    rows = [
        [a.first.name, a.second.name, over, interval]
        for a in found
        for over, interval in (("means", a.of_means), ("image", a.per_image))
    ]
    return _csv(heading, rows)


def _csv(heading: tuple[str, ...], rows: list[list[str | Interval]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(heading)
    for row in rows:
        writer.writerow([part for field in row for part in _fields(field)])
    return buffer.getvalue()


def _fields(field: str | Interval) -> list[str]:
    if isinstance(field, Interval):
        return [*map(_digits, (field.mean, field.low, field.high)), str(field.count)]
    return [field]


def _digits(value: float) -> str:
    return f"{value:.7g}"  # more would differ between machines by rounding


def write_paired(comparisons: list[Comparison], output_dir: Path) -> list[Path]:
    """Write <dataset>/<backbone>/{differences,agreement}.{md,csv} where there is enough to compare.

    Args:
        comparisons: from `read_comparisons`.
        output_dir: created if need be; pages of these comparisons that no longer hold are removed.
    Returns:
        The files written.
    """
    written = []
    for comparison in comparisons:
        if comparison.outputs == "quantities":  # each output has a column of its own in outputs.py's tables
            continue
        gaps, pairs = differences(comparison), agreements(comparison)
        texts = {}
        if gaps:
            texts["differences"] = (differences_page(comparison, gaps), differences_csv(gaps))
        if pairs:
            texts["agreement"] = (agreement_page(comparison, pairs), agreement_csv(pairs))
        for name, contents in texts.items():
            for extension, content in zip(EXTENSIONS, contents, strict=True):
                path = output_dir / comparison.file_name(name, extension)
                write_atomically(path, content.encode(), durable=False)
                written.append(path)
    remove_stale(written, "paired")
    return written
