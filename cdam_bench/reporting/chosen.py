"""Which methods of a results folder are drawn."""

from collections.abc import Sequence
from dataclasses import replace

from cdam_bench.errors import UserError, nearest_names
from cdam_bench.reporting.comparisons import Comparison


def with_estimators(comparisons: list[Comparison], estimators: Sequence[str] | None) -> list[Comparison]:
    """The same comparisons with these estimators alone, those that have none of them left out.

    Args:
        comparisons: from `read_comparisons`.
        estimators: names; None: all.
    Raises:
        UserError: for a name that none of them has.
    """
    if estimators is None:
        return comparisons
    known = list(dict.fromkeys(cell.key.estimator for comparison in comparisons for cell in comparison.cells))
    for name in estimators:
        if name not in known:
            near = " or ".join(nearest_names(name, known))
            hint = f"did you mean {near}? " if near else ""
            raise UserError(f"estimators={name}: no results of it here: {hint}there are {', '.join(sorted(known))}")
    chosen = [
        replace(comparison, cells=[cell for cell in comparison.cells if cell.key.estimator in estimators])
        for comparison in comparisons
    ]
    return [comparison for comparison in chosen if comparison.cells]
