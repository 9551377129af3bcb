"""Layout: which columns stand in which table, as the metrics declare them; what is not declared stands by its bare name."""

import re

from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.store.columns import Column

FURTHER = "further_scores"  # the table of what no metric declares
# about the targets, or about a target's scores with another one's map: shown only if a metric declares it
NOT_SHOWN = re.compile(r"(target\d*|other)(_logit|_index)?|(other|wrong|delta|target\d+)_.*")


def layout(comparison: Comparison) -> dict[str, list[Column]]:
    """The tables of a comparison, in the order in which their first columns are declared: name → columns.

    Columns of several metrics that name the same table share it; in a table they are sorted by `place`, then as declared. Only what
    was measured is there.
    """
    declared = [column for own in comparison.declared.columns.values() for column in own]
    names = {column.name for column in declared}
    further = [name for name in comparison.measured if name not in names and not NOT_SHOWN.fullmatch(name)]
    tables: dict[str, list[Column]] = {}
    for column in (*declared, *map(Column, further)):
        if column.name in comparison.measured:
            tables.setdefault(column.table, []).append(column)
    if FURTHER in tables:
        tables[FURTHER] = tables.pop(FURTHER)
    return {name: sorted(columns, key=lambda column: column.place) for name, columns in tables.items()}


def title_of(name: str, columns: list[Column]) -> str:
    """Heading of a table."""
    return next((column.title for column in columns if column.title), name.replace("_", " ").capitalize())


def compared(comparison: Comparison) -> list[Column]:
    """The columns that methods are compared in, in the order of the tables."""
    return [column for columns in layout(comparison).values() for column in columns if column.is_compared]


def headlines(comparison: Comparison, aspect: str) -> list[Column]:
    """The columns that stand for an aspect of the maps, metric by metric."""
    declared = [column for own in comparison.declared.columns.values() for column in own]
    return [column for column in declared if column.aspect == aspect and column.name in comparison.measured]


def notes_of(columns: list[Column]) -> list[str]:
    """What the columns of a table add to its caption, each once; one that is part of another is not repeated."""
    notes = dict.fromkeys(column.note.strip() for column in columns if column.note)
    return [note for note in notes if not any(note != other and note in other for other in notes)]


def everywhere(comparison: Comparison, columns: list[Column]) -> list[Column]:
    """Those of the columns that every finished cell has."""
    have = [set(cell.scores.columns) for cell in comparison.complete_cells]
    return [column for column in columns if all(column.name in names for names in have)]
