"""What changed between two runs, as Markdown and CSV."""

from collections import Counter
from typing import Any

from cdam_bench.drawing.names import display_name
from cdam_bench.reporting.formats import format_interval, format_number
from cdam_bench.reporting.intervals import interval_words
from cdam_bench.reporting.markdown import page
from cdam_bench.reporting.sharing.changes import BACKBONE, DIFFERENT, IDENTICAL, KINDS, SIGNIFICANT, Change, Changes
from cdam_bench.reporting.sharing.pairing import Pair
from cdam_bench.statistics import Interval
from cdam_bench.store.cells import CellKey
from cdam_bench.store.columns import SHARE_OF_IMAGES
from cdam_bench.store.csv_text import csv_text, digits

MOST = 30  # rows of a table of scores; the CSV file has all


def changes_page(changes: Changes, old: str, new: str) -> str:
    """Markdown.

    Args:
        changes: what was found.
        old, new: how the runs are called, such as their folders.
    """
    parts = [f"# From {old} to {new}", _summary(changes)]
    for title, told in (
        ("Settings and versions that differ", {pair.key: pair.settings for pair in changes.pairs}),
        ("Left out", {pair.key: pair.notes for pair in changes.pairs}),
    ):
        if lines := _together(told):
            parts.append(f"## {title}\n\n{lines}")
    if cells := _cells(changes):
        parts.append(f"## Cells that are not identical\n\n{cells}")
    for kind, title in ((SIGNIFICANT, "Changed beyond noise"), (DIFFERENT, "Different, but not significantly")):
        if own := [change for change in changes.found if change.kind == kind]:
            parts.append(f"## {title}\n\n{_scores(own)}")
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _summary(changes: Changes) -> str:
    """How many cells, what became of them, and how it was tested."""
    counts = Counter(kind for _, kind in _kinds(changes))
    lines = [f"* {counts[kind]} of {len(changes.pairs)} cells: {kind}" for kind in KINDS if counts[kind]]
    apart = [pair for pair in changes.pairs if pair.reason]
    lines += [f"* not compared: {pair.key}: {pair.reason}" for pair in apart]
    lines += [f"* in the old one alone: {cells}" for cells in _by_backbone(changes.old_alone)]
    lines += [f"* in the new one alone: {cells}" for cells in _by_backbone(changes.new_alone)]
    family = changes.family
    if family.tests:
        lines.append(
            f"\nPaired sign-flip tests on the same images ({family.words}: every score that differs by more than rounding, 1e-5 "
            "relative, of every cell)."
        )
        lines += [f"{family.warning}."] if family.warning else []
    return "\n".join(lines)


def _kinds(changes: Changes) -> list[tuple[Pair, str]]:
    """Every cell that was compared, with the largest of its changes; of a cell without scores there is none."""
    worst: dict[CellKey, int] = {}
    for change in changes.found:
        worst[change.key] = max(worst.get(change.key, 0), KINDS.index(change.kind))
    return [(pair, KINDS[worst[pair.key]]) for pair in changes.pairs if pair.key in worst]


def _by_backbone(keys: list[CellKey]) -> list[str]:
    """Cells in words: those of one dataset and backbone together."""
    found: dict[str, list[str]] = {}
    for key in keys:
        found.setdefault(f"{key.dataset} · {key.backbone}", []).append(key.estimator)
    return [f"{place}: {', '.join(names)}" for place, names in found.items()]


def _together(told: dict[CellKey, list[str]]) -> str:
    """A line for each thing that is told, with the cells that it is told of."""
    cells: dict[str, list[CellKey]] = {}
    for key, lines in told.items():
        for line in lines:
            cells.setdefault(line, []).append(key)
    return "\n".join(f"* {line} ({_which(keys, len(told))})" for line, keys in cells.items())


def _which(keys: list[CellKey], total: int) -> str:
    """Cells in words."""
    if len(keys) == total:
        return "all cells" if total > 1 else str(keys[0])
    return ", ".join(map(str, keys)) if len(keys) <= 3 else f"{len(keys)} of {total} cells, such as {keys[0]}"


def _cells(changes: Changes) -> str:
    """A row for every cell that is not identical."""
    counts: dict[CellKey, Counter[str]] = {}
    for change in changes.found:
        counts.setdefault(change.key, Counter())[change.kind] += 1
    rows = [
        [str(pair.key), str(pair.images), *(str(counts[pair.key][kind]) for kind in reversed(KINDS))]
        for pair, kind in _kinds(changes)
        if kind != IDENTICAL
    ]
    heading = ["Cell", "images", *reversed(KINDS)]
    return page("How many of its scores:", heading, rows) if rows else ""


def _scores(found: list[Change]) -> str:
    """The scores that tables show first, then the clearest changes."""
    ordered = sorted(found, key=_weight)
    shares = any(change.column.unit == SHARE_OF_IMAGES for change in found)
    note = f"Means over the images of both, and new − old [{interval_words(shares, 'Tango’s score interval')}]."
    if len(found) > MOST:
        note += f" The first {MOST} of {len(found)}, headlines first; `output=changes.csv` writes all."
    heading = ["Cell", "score", "old", "new", "new − old", "p", ""]
    return page(note, heading, [_row(change) for change in ordered[:MOST]])


def _weight(change: Change) -> Any:
    """Sorts headlines before compared scores before others, then by p."""
    return not change.column.aspect, not change.column.is_compared, change.p_value, str(change.key)


def _row(change: Change) -> list[str]:
    decimals = change.column.decimals
    key, difference, p_value = change.key, change.difference, change.p_value
    estimator = "outputs of the backbone" if key.estimator == BACKBONE else display_name(key.estimator)
    assert difference is not None
    assert p_value is not None
    enough = next((more for more in range(decimals, 7) if _shows(difference.mean, more)), 7)
    return [
        f"{key.dataset} · {key.backbone} · {estimator}",
        change.column.heading.replace("|", "\\|"),
        *(format_number(value, enough) for value in (change.old, change.new)),
        format_interval(difference, enough),
        format_number(p_value, 3) if p_value >= 0.0005 else "< 0.001",
        _judgement(change),
    ]


def _shows(value: float, decimals: int) -> bool:
    """Whether so many decimals show two digits of a difference, if there is one."""
    return value == 0 or not abs(value) < 10 ** (1 - decimals)


def _judgement(change: Change) -> str:
    """What a significant change means."""
    if change.kind != SIGNIFICANT or change.difference is None or not change.column.sign:
        return ""
    return "better" if change.difference.mean * change.column.sign > 0 else "worse"


def changes_csv(changes: Changes) -> str:
    """For machines: a line for every score of every cell; `tests` is how many were corrected together."""
    heading = (
        *("dataset", "backbone", "estimator", "score", "change", "old", "new", "difference", "low", "high", "n"),
        *("p_holm", "tests"),
    )
    rows: list[list[str | float | Interval]] = [
        [
            *(change.key.dataset, change.key.backbone, change.key.estimator, change.column.name, change.kind),
            *(change.old, change.new),
            *([""] * 4 if change.difference is None else [change.difference]),
            *("" if change.p_value is None else digits(change.p_value), str(changes.family.tests)),
        ]
        for change in changes.found
    ]
    return csv_text(heading, rows)
