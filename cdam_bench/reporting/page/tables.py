"""Scores, rankings and tables of the page: the numbers of reporting's own tables, nothing is computed in another way."""

import math

from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.reporting.formats import caption
from cdam_bench.reporting.layout import layout
from cdam_bench.reporting.means import Entry, Table
from cdam_bench.reporting.outputs import output_tables
from cdam_bench.reporting.page.plain import Plain, interval_values, number
from cdam_bench.reporting.paper_check import check_note, open_choices, orders, paper_checks, verdict_of
from cdam_bench.reporting.ranking import Ranked, Ranking
from cdam_bench.store.columns import Column
from cdam_bench.store.results import CellResult

LOGIT = Column("target_logit", "output of the target", "logit", table="", note="The same for all methods.")


def shown_columns(comparison: Comparison) -> list[Column]:
    """All scores of the tables, and the target's output where it is known: what a scatter may show."""
    columns = [column for own in layout(comparison).values() for column in own]
    return [*columns, LOGIT] if LOGIT.name in comparison.measured else columns


def headline_columns(comparison: Comparison) -> list[Column]:
    """The scores that stand for the others: what metrics call headlines; of other metrics the first with a good direction."""
    tables = layout(comparison)
    shown = {column.name for own in tables.values() for column in own}
    metrics = [[one for one in own if one.name in shown] for own in comparison.declared.columns.values()]
    declared = {one.name for own in metrics for one in own}
    metrics += [[one] for own in tables.values() for one in own if one.name not in declared]
    found: list[Column] = []
    for own in metrics:
        found += [one for one in own if one.aspect] or [one for one in own if one.better][:1]
    return found


def score_values(columns: list[Column]) -> dict[str, Plain]:
    """Score → what its numbers are."""
    return {
        column.name: {
            "label": column.text,
            "heading": column.heading,
            "unit": column.unit,
            "better": column.better,
            "decimals": column.decimals,
            "table": column.table,
            "aspect": column.aspect,
            "note": column.note.strip(),
        }
        for column in columns
    }


def images_of(cell: CellResult) -> str:
    """How many images it has, in words."""
    done = len(cell.scores)
    return str(done) if cell.is_complete else f"{done} of {cell.num_images}"


def ranking_values(ranking: Ranking) -> Plain:
    """All methods in one score, best first."""
    highest = [one.cell.key.estimator for one in ranking.methods if one.tied and one.p_value is None]
    rows = [_ranked_values(one, ranking) for one in ranking.methods]
    return {
        "score": ranking.column.name,
        "tested": ranking.is_tested,
        "words": ranking.family.words if ranking.is_tested else "",
        "warning": ranking.family.warning if ranking.is_tested else "",
        "best": highest[0] if highest else None,
        "rows": rows,
    }


def _ranked_values(one: Ranked, ranking: Ranking) -> Plain:
    is_highest = one.tied and one.p_value is None
    alone = sum(other.tied for other in ranking.methods) == 1
    in_tests = ranking.is_tested and one.place is not None
    return {
        "estimator": one.cell.key.estimator,
        **interval_values(one.interval),
        "missing": len(one.cell.scores) - one.interval.count,
        "complete": one.cell.is_complete,
        "best": is_highest and alone,
        "tied": one.tied if in_tests else None,
        "p": None if one.p_value is None else number(one.p_value),
    }


def table_values(table: Table) -> Plain:
    """A table of means, with the paper's numbers and what ours differ from them."""
    cells = table.comparison.cells
    return {
        "name": table.name,
        "title": table.title,
        "caption": caption(table),
        "columns": [column.name for column in table.columns],
        "paper": [table.has_paper(j) for j in range(len(table.columns))],
        "rows": [
            {
                "estimator": cell.key.estimator,
                "complete": cell.is_complete,
                "images": images_of(cell),
                "entries": [_entry_values(entry) for entry in row],
            }
            for cell, row in zip(cells, table.rows, strict=True)
        ],
    }


def _entry_values(entry: Entry) -> Plain:
    difference = entry.interval.mean - float(entry.paper) if entry.paper else math.nan
    return {
        **interval_values(entry.interval),
        "missing": entry.missing,
        "best": entry.best,
        "paper": entry.paper,
        "difference": number(float(difference)),
    }


def text_tables(comparison: Comparison) -> list[Plain]:
    """Tables of text, of outputs that are quantities alone."""
    if comparison.outputs != "quantities":
        return []
    note, tables = output_tables(comparison)
    return [
        {"title": "", "caption": " ".join([table.caption, note]), "heading": table.heading, "rows": table.rows}
        for table in tables
    ]


def paper_values(comparison: Comparison) -> Plain | None:
    """The paper's numbers beside ours, where it has some."""
    checks = paper_checks(comparison)
    if not checks:
        return None
    return {
        "verdict": ": ".join(verdict_of(checks)),
        "note": check_note(comparison, checks),
        "orders": orders(checks),
        "rows": [
            {
                "estimator": check.estimator,
                "score": check.column.name,
                "printed": check.printed,
                **interval_values(check.interval),
                "difference": number(float(check.interval.mean - float(check.printed))),
                "visible": number(check.detectable),
                "p": number(check.p_value),
                "compatible": check.compatible,
                "open": "" if check.compatible else open_choices(check),
            }
            for check in checks
        ],
    }
