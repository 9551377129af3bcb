"""Tables of means: scores averaged over images with intervals, estimators in rows, the paper's numbers beside ours."""

from dataclasses import dataclass

import numpy as np

from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.reporting.layout import layout, title_of
from cdam_bench.reporting.paper import PAPER_BACKBONE, paper_numbers
from cdam_bench.statistics import Interval, holm, mean_intervals, paired_p_values
from cdam_bench.store.columns import Column

SIGNIFICANCE = 0.05


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
    name: str
    columns: list[Column]
    rows: list[list[Entry]]

    @property
    def title(self) -> str:
        return title_of(self.name, self.columns)

    def has_paper(self, column: int) -> bool:
        return any(row[column].paper for row in self.rows)


def make_tables(comparison: Comparison) -> list[Table]:
    """All tables that the scores of a comparison fill; none where the outputs are quantities, which have their own (outputs.py)."""
    if comparison.outputs == "quantities":
        return []
    return [
        Table(comparison, name, columns, _rows(comparison, columns)) for name, columns in layout(comparison).items()
    ]


def _rows(comparison: Comparison, columns: list[Column]) -> list[list[Entry]]:
    scores = [column.name for column in columns]
    values = np.stack([comparison.values(cell, scores) for cell in comparison.cells], 1)  # (images, cells, columns)
    intervals = mean_intervals(values.reshape(len(values), -1))
    complete = np.array([cell.is_complete for cell in comparison.cells])
    paper = paper_numbers().get(comparison.dataset, {}) if comparison.backbone == PAPER_BACKBONE else {}
    rows: list[list[Entry]] = []
    for i, cell in enumerate(comparison.cells):
        row = []
        for j, column in enumerate(columns):
            interval = intervals[i * len(columns) + j]
            printed = paper.get(cell.key.estimator, {}).get(column.name, "")
            row.append(Entry(interval, len(cell.scores) - interval.count, False, printed))
        rows.append(row)
    for j, column in enumerate(columns):
        best = supported_best(values[:, complete, j] * column.sign) if column.sign else None
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
