"""Tables of means: scores averaged over images with intervals, estimators in rows, the paper's numbers beside ours."""

from dataclasses import dataclass

import numpy as np

from cdam_bench.reporting.best import best_means
from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.reporting.intervals import proportions, score_intervals
from cdam_bench.reporting.layout import layout, title_of
from cdam_bench.reporting.paper import PAPER_BACKBONE, paper_numbers
from cdam_bench.reporting.remaining import Remaining, remaining_logit
from cdam_bench.reporting.significance import Family
from cdam_bench.statistics import Interval
from cdam_bench.store.columns import Column


@dataclass(frozen=True)
class Entry:
    """One number of a table.

    Args:
        interval: our mean.
        missing: images of the cell where the score is NaN.
        best: the best mean, and paired tests against every other method support it.
        paper: the paper's number as printed, or "".
    """

    interval: Interval
    missing: int
    best: bool
    paper: str


@dataclass(frozen=True)
class Table:
    """A table of one comparison.

    Args:
        comparison: whose cells are its rows.
        name: of its files.
        columns: its scores.
        rows: rows[i][j] is cell i's entry in column j.
        family: the tests that decide what is marked as best, in all tables of the comparison.
        remaining: how much of the logit its metrics leave.
        proportions: names of its scores that are shares of the images, with intervals of that kind.
    """

    comparison: Comparison
    name: str
    columns: list[Column]
    rows: list[list[Entry]]
    family: Family
    remaining: list[Remaining]
    proportions: frozenset[str]

    @property
    def title(self) -> str:
        return title_of(self.name, self.columns)

    def has_paper(self, column: int) -> bool:
        return any(row[column].paper for row in self.rows)


def make_tables(comparison: Comparison) -> list[Table]:
    """All tables that the scores of a comparison fill; none where the outputs are quantities, which have their own (outputs.py)."""
    if comparison.outputs == "quantities":
        return []
    tables = layout(comparison)
    columns = [column for own in tables.values() for column in own]
    values = np.stack([comparison.values(cell, [column.name for column in columns]) for cell in comparison.cells], 1)
    complete = np.array([cell.is_complete for cell in comparison.cells])
    tested, family = best_means(values[:, complete], [column.sign for column in columns])
    kinds = {column.name for column, share in zip(columns, proportions(columns, values), strict=True) if share}
    places = np.flatnonzero(complete).tolist()
    winners = {columns[j].name: places[best.method] for j, best in tested.items() if best.is_supported}
    made, start = [], 0
    for name, own in tables.items():
        rows = _rows(comparison, own, values[..., start : start + len(own)], winners)
        shares = frozenset(column.name for column in own if column.name in kinds)
        made.append(Table(comparison, name, own, rows, family, remaining_logit(comparison, own), shares))
        start += len(own)
    return made


def _rows(
    comparison: Comparison, columns: list[Column], values: np.ndarray, winners: dict[str, int]
) -> list[list[Entry]]:
    """Entries of one table: values (images, cells, columns), and the row of the best of each score that has one."""
    intervals = score_intervals(columns, values)
    paper = paper_numbers().get(comparison.dataset, {}) if comparison.backbone == PAPER_BACKBONE else {}
    return [
        [
            Entry(
                intervals[i][j],
                len(cell.scores) - intervals[i][j].count,
                winners.get(column.name) == i,
                paper.get(cell.key.estimator, {}).get(column.name, ""),
            )
            for j, column in enumerate(columns)
        ]
        for i, cell in enumerate(comparison.cells)
    ]
