"""Rankings: the methods of a comparison score by score, best mean first, with what the tests do not tell from the best."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cdam_bench.errors import require, unknown_name
from cdam_bench.reporting.best import Best, best_means
from cdam_bench.reporting.comparisons import Comparison, write_pages
from cdam_bench.reporting.formats import WILSON, format_interval, format_number, row_name
from cdam_bench.reporting.intervals import interval_words, proportions, score_intervals
from cdam_bench.reporting.layout import layout
from cdam_bench.reporting.markdown import markdown_rows
from cdam_bench.reporting.significance import Family
from cdam_bench.statistics import Interval
from cdam_bench.store.columns import Column
from cdam_bench.store.csv_text import csv_text, digits
from cdam_bench.store.results import CellResult


@dataclass(frozen=True)
class Ranked:
    """A method's place in one score.

    Args:
        cell: its results.
        interval: its mean.
        place: 1 for the best mean, equal means share one; None where the cell is not finished or the score is not known.
        p_value: of the paired test against the best mean, Holm-corrected over the comparison; None where there is none.
        tied: whether the test does not tell it from the best mean, or it is the best mean.
    """

    cell: CellResult
    interval: Interval
    place: int | None
    p_value: float | None
    tied: bool


@dataclass(frozen=True)
class Ranking:
    """All methods in one score.

    Args:
        column: the score.
        methods: best first; those without a place last.
        family: the tests, over all scores of the comparison.
        is_tested: whether methods were tested against the best one.
        is_proportion: whether the score is a share of the images.
    """

    column: Column
    methods: list[Ranked]
    family: Family
    is_tested: bool
    is_proportion: bool


def rankings(comparison: Comparison) -> list[Ranking]:
    """A ranking for every score of which high or low is good, in the order of the tables.

    Means, intervals and tests are those of the tables (`means.make_tables`); none where the outputs are quantities.
    """
    if comparison.outputs == "quantities":
        return []
    columns = [column for own in layout(comparison).values() for column in own if column.sign]
    if not columns:
        return []
    values = np.stack([comparison.values(cell, [column.name for column in columns]) for cell in comparison.cells], 1)
    complete = np.flatnonzero([cell.is_complete for cell in comparison.cells])
    tested, family = best_means(values[:, complete], [column.sign for column in columns])
    intervals, shares = score_intervals(columns, values), proportions(columns, values)
    found = []
    for j, column in enumerate(columns):
        own = [intervals[i][j] for i in range(len(comparison.cells))]
        methods = _ranked(comparison, column, own, complete.tolist(), tested.get(j))
        found.append(Ranking(column, methods, family, j in tested, bool(shares[j])))
    return found


def _ranked(
    comparison: Comparison, column: Column, intervals: list[Interval], complete: list[int], best: Best | None
) -> list[Ranked]:
    """The methods in one score; `complete` are the places of the finished cells, which `best` counts."""
    goodness = {i: column.sign * intervals[i].mean for i in complete if np.isfinite(intervals[i].mean)}
    ranked = []
    for i, cell in enumerate(comparison.cells):
        place = 1 + sum(other > goodness[i] for other in goodness.values()) if i in goodness else None
        k = complete.index(i) if i in goodness and best is not None else None
        is_best = best is not None and k == best.method
        p_value = None if best is None or k is None or is_best else float(best.p_values[k])
        tied = best is not None and k is not None and bool(best.tied[k])
        ranked.append(Ranked(cell, intervals[i], place, p_value, tied))
    return sorted(ranked, key=lambda one: (one.place is None, one.place or 0))


def rankings_page(comparison: Comparison, found: list[Ranking]) -> str:
    """Markdown: a table per score; nothing where there is none."""
    if not found:
        return ""
    family = found[0].family
    shares = any(ranking.is_proportion for ranking in found)
    sentences = [
        f"Methods by their mean over {comparison.counts} images [{interval_words(shares, WILSON)}]",
        f"p: of a paired sign-flip test against the best mean ({family.words}: each score's best mean against all others); "
        "“=”: the test does not tell it from the best"
        if family.tests
        else "",
        family.warning,
        f"These cells have {comparison.distinction}" if comparison.distinction else "",
        "Not finished cells have no place and are in no test"
        if len(comparison.complete_cells) < len(comparison.cells)
        else "",
    ]
    parts = [f"## {comparison.title}: rankings", " ".join(f"{sentence}." for sentence in sentences if sentence)]
    for ranking in found:
        column = ranking.column
        unit = f" ({column.unit})" if column.unit else ""
        lines = [["rank", "Estimator", "mean", "p"], ["---:", "---", "---:", "---:"]]
        lines += [_line(one, column.decimals) for one in ranking.methods]
        parts.append(f"### {column.heading}{unit}\n\n{markdown_rows(lines)}")
    return "\n\n".join(parts) + "\n"


def _line(one: Ranked, decimals: int) -> list[str]:
    """A method's row."""
    place = "–" if one.place is None else f"{one.place}{' =' if one.tied and one.p_value is not None else ''}"
    p_value = "" if one.p_value is None else format_number(one.p_value, 3) if one.p_value >= 0.0005 else "< 0.001"
    return [place, row_name(one.cell), format_interval(one.interval, decimals), p_value]


def rankings_csv(comparison: Comparison, found: list[Ranking]) -> str:
    """For machines: a line per score and method; `tests` is how many were corrected together."""
    heading = (
        *("dataset", "backbone", "variant", "score", "better", "rank", "estimator", "mean", "low", "high", "n"),
        *("complete", "p_holm", "tests", "tied", "interval"),
    )
    rows = [
        [
            *(comparison.dataset, comparison.backbone, comparison.variant, ranking.column.name, ranking.column.better),
            *("" if one.place is None else str(one.place), one.cell.key.estimator, one.interval),
            *(_yes(one.cell.is_complete), "" if one.p_value is None else digits(one.p_value)),
            *(str(ranking.family.tests) if ranking.is_tested else "0", _yes(one.tied)),
            "wilson" if ranking.is_proportion else "bootstrap",
        ]
        for ranking in found
        for one in ranking.methods
    ]
    return csv_text(heading, rows)


def _yes(value: bool) -> str:
    return str(value).lower()


def shown_rankings(comparisons: list[Comparison], score: str | None = None) -> str:
    """Markdown of all comparisons.

    Args:
        comparisons: which.
        score: this one alone; None: all.
    Raises:
        UserError: if there is no such score, or none of which high or low is good.
    """
    found = [(comparison, rankings(comparison)) for comparison in comparisons]
    names = {ranking.column.name for _, own in found for ranking in own}
    require(bool(names), "nothing to rank by: of no score here high or low is good")
    if score is not None and score not in names:
        raise unknown_name("by", score, names)
    wanted = [(comparison, [one for one in own if score in (None, one.column.name)]) for comparison, own in found]
    return "\n".join(rankings_page(comparison, own) for comparison, own in wanted if own)


def write_rankings(comparisons: list[Comparison], output_dir: Path) -> list[Path]:
    """Write <dataset>/<backbone>/ranking.{md,csv} of every comparison.

    Args:
        comparisons: which.
        output_dir: created if need be; pages of these comparisons that no longer hold are removed.
    Returns:
        The files written.
    """
    return write_pages(comparisons, output_dir, "rankings", _pages)


def _pages(comparison: Comparison) -> dict[str, str]:
    found = rankings(comparison)
    if not found:
        return {}
    return {"ranking.md": rankings_page(comparison, found), "ranking.csv": rankings_csv(comparison, found)}
