"""Differences from one method on the same images: in the score's unit, standardised, and tested."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cdam_bench.drawing.names import display_name
from cdam_bench.reporting.agreement import agreement_csv, agreement_page, agreements
from cdam_bench.reporting.comparisons import Comparison, write_pages
from cdam_bench.reporting.formats import format_interval, remaining_sentences
from cdam_bench.reporting.intervals import BOOTSTRAP, difference_intervals, interval_words, proportions
from cdam_bench.reporting.layout import compared, everywhere
from cdam_bench.reporting.markdown import page
from cdam_bench.reporting.remaining import remaining_logit
from cdam_bench.reporting.significance import Family, family_of
from cdam_bench.statistics import Interval, standardised_intervals
from cdam_bench.store.columns import Column
from cdam_bench.store.csv_text import csv_text

REFERENCE = "cdam"  # the method that the others are subtracted from
EXTENSIONS = ("md", "csv")


@dataclass(frozen=True)
class Difference:
    """A method minus the reference, over the same images.

    Args:
        estimator: the method.
        column: the score.
        interval: mean difference; its count is the number of images where both are known.
        standardised: the same divided by the standard deviation of the differences (Cohen's d_z).
        raw_p_value: of a paired sign-flip test.
        p_value: the same, Holm-corrected over all scores and methods of the comparison.
        is_proportion: whether the score is a share of the images.
    """

    estimator: str
    column: Column
    interval: Interval
    standardised: Interval
    raw_p_value: float
    p_value: float
    is_proportion: bool


@dataclass(frozen=True)
class Differences:
    """Every finished method against the reference, in every score whose metric says that methods are compared in it.

    Args:
        found: method by method, each with all scores.
        family: all the tests, which are corrected together.
    """

    found: list[Difference]
    family: Family


def differences(comparison: Comparison, reference: str = REFERENCE) -> Differences | None:
    """Every finished method against the reference; None if the reference or the others are not finished, or share no score."""
    cells = {cell.key.estimator: cell for cell in comparison.complete_cells}
    others = [name for name in cells if name != reference]
    columns = everywhere(comparison, compared(comparison))
    if reference not in cells or not others or not columns:
        return None
    scores = [column.name for column in columns]
    base = comparison.values(cells[reference], scores)
    values = np.stack([comparison.values(cells[name], scores) for name in others], 1)  # (images, methods, scores)
    flat = (values - base[:, None]).reshape(len(values), -1)
    intervals, standardised = difference_intervals(columns, values, base), standardised_intervals(flat)
    shares = proportions(columns, np.concatenate([values, base[:, None]], axis=1))
    family = family_of(flat)
    found = []
    for i, name in enumerate(others):
        for j, column in enumerate(columns):
            place = i * len(columns) + j
            p_values = float(family.p_values[place]), float(family.corrected[place])
            found.append(Difference(name, column, intervals[i][j], standardised[place], *p_values, bool(shares[j])))
    return Differences(found, family)


def differences_page(comparison: Comparison, differing: Differences) -> str:
    """Markdown: methods in rows, scores in columns, first in their units and then standardised."""
    family, reference = differing.family, display_name(REFERENCE)
    columns = list(dict.fromkeys(difference.column for difference in differing.found))
    shares = any(difference.is_proportion for difference in differing.found)
    sentences = [
        f"Differences from {reference} on the same images of {comparison.title}: mean of (method − {reference}) "
        f"[{interval_words(shares, 'Tango’s score interval')}]",
        f"Bold: a paired sign-flip test says it is not zero ({family.words}: every method in every score of this page)",
        "Intervals are of each difference alone, not corrected",
        "Where an image counts yes or no, the test is McNemar's" if shares else "",
        family.warning,
        *remaining_sentences(remaining_logit(comparison, columns)),
    ]
    note = " ".join(f"{sentence}." for sentence in sentences if sentence)
    standardised_note = (
        "The same differences divided by their standard deviation over images (Cohen's d_z), which can be compared between scores "
        f"[95 % {BOOTSTRAP}]; – where all differences are equal. Bold as above."
    )
    heading = ["Estimator", *(column.heading for column in columns)]
    tables = [_rows(differing, standardised) for standardised in (False, True)]
    return f"{page(note, heading, tables[0])}\n{page(standardised_note, heading, tables[1])}"


def _rows(differing: Differences, standardised: bool) -> list[list[str]]:
    """A row per method."""
    rows: dict[str, list[str]] = {}
    for difference, significant in zip(differing.found, differing.family.significant, strict=True):
        text = (
            format_interval(difference.standardised, 2)
            if standardised
            else format_interval(difference.interval, difference.column.decimals)
        )
        name = display_name(difference.estimator)
        rows.setdefault(name, [name]).append(f"**{text}**" if significant else text)
    return list(rows.values())


def differences_csv(differing: Differences) -> str:
    """For machines: a line per method and score; `tests` is how many were corrected together."""
    heading = (
        *("estimator", "reference", "score", "difference", "low", "high", "n", "p_holm", "p", "tests", "interval"),
        *("d_z", "d_z_low", "d_z_high"),
    )
    rows = [
        [
            *(one.estimator, REFERENCE, one.column.name, one.interval, one.p_value, one.raw_p_value),
            *(str(differing.family.tests), "tango" if one.is_proportion else "bootstrap"),
            *(one.standardised.mean, one.standardised.low, one.standardised.high),
        ]
        for one in differing.found
    ]
    return csv_text(heading, rows)


def write_paired(comparisons: list[Comparison], output_dir: Path) -> list[Path]:
    """Write <dataset>/<backbone>/{differences,agreement}.{md,csv} where there is enough to compare.

    Args:
        comparisons: from `read_comparisons`.
        output_dir: created if need be; pages of these comparisons that no longer hold are removed.
    Returns:
        The files written.
    """
    return write_pages(comparisons, output_dir, "paired", _pages)


def _pages(comparison: Comparison) -> dict[str, str]:
    if comparison.outputs == "quantities":  # each output has a column of its own in outputs.py's tables
        return {}
    differing, agreeing = differences(comparison), agreements(comparison)
    pages = {}
    if differing:
        pages |= {
            "differences.md": differences_page(comparison, differing),
            "differences.csv": differences_csv(differing),
        }
    if agreeing.pairs:
        pages |= {"agreement.md": agreement_page(comparison, agreeing), "agreement.csv": agreement_csv(agreeing)}
    return pages
