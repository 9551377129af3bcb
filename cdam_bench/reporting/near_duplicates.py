"""Methods that are nearly one, so that an agreement over methods counts them once."""

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components

from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.reporting.intervals import proportions
from cdam_bench.store.columns import Column
from cdam_bench.store.results import CellResult

# classes that are another class's map, averaged over noise or integrated along a path: one idea of one paper
VARIANTS = {"SmoothCDAM": "CDAM", "IntegratedCDAM": "CDAM"}
ALIKE = 0.95  # mean rank correlation over images from which two methods' scores count as one's
ENOUGH = 20  # images; with fewer, a correlation over images says little


def near_duplicates(comparison: Comparison, columns: list[Column]) -> list[list[str]]:
    """The finished methods in groups that count once.

    Together are methods of one class with other settings, a class and its variants, and methods whose scores go along over images:
    the mean over `columns` of their rank correlation over images is at least 0.95. Neither needs to know the methods, so that it
    holds for one of the user's own. Groups are closed: if a goes with b and b with c, all three are one.

    Args:
        comparison: whose finished cells are the methods.
        columns: the scores by which methods are judged alike; those where an image counts yes or no are too coarse for it.
    Returns:
        Names of the estimators, group by group, in the order of the cells.
    """
    cells = comparison.complete_cells
    lineages = np.array([_lineage(cell) for cell in cells])
    together = (lineages[:, None] == lineages) | _scores_go_along(comparison, columns)
    count, labels = connected_components(together, directed=False)
    return [[cells[i].key.estimator for i in np.flatnonzero(labels == group)] for group in range(count)]


def _lineage(cell: CellResult) -> str:
    """Class of a cell's estimator, or the one that it is a variant of."""
    target = str(cell.description["identity"]["estimator"]["_target_"])
    module, _, name = target.rpartition(".")
    return f"{module}.{VARIANTS.get(name, name)}"


def _scores_go_along(comparison: Comparison, columns: list[Column]) -> np.ndarray:
    """(methods, methods) bool."""
    cells = comparison.complete_cells
    values = np.stack([comparison.values(cell, [column.name for column in columns]) for cell in cells], 1)
    fine = np.flatnonzero(~proportions(columns, values)) if columns else []
    if len(values) < ENOUGH or not len(fine):
        return np.zeros((len(cells), len(cells)), dtype=bool)
    found = [pd.DataFrame(values[..., j]).corr("spearman", min_periods=ENOUGH).to_numpy() for j in fine]
    known = np.isfinite(found)
    with np.errstate(invalid="ignore"):
        return np.where(known, found, 0).sum(0) / known.sum(0) >= ALIKE
