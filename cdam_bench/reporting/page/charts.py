"""Charts of the page: curves with their bands, cost against quality, agreement of metrics."""

import numpy as np

from cdam_bench.reporting.agreement import agreement_note, agreements
from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.reporting.cost import ASPECT, Cost, Speed, costs_of, pareto_front
from cdam_bench.reporting.curves import Curves, band, curves_of
from cdam_bench.reporting.layout import headlines
from cdam_bench.reporting.means import Entry, Table
from cdam_bench.reporting.page.plain import DIGITS, Plain, interval_values, number, numbers
from cdam_bench.store.columns import Column


def curve_values(comparison: Comparison) -> list[Plain]:
    """Every curve that is drawn; none of quantities: of one output alone they would say little."""
    return [] if comparison.outputs == "quantities" else [_curve(curves) for curves in curves_of(comparison)]


def _curve(curves: Curves) -> Plain:
    curve = curves.curve
    return {
        "name": curve.name,
        "title": curve.title or curve.name,
        "x": numbers(curves.x),
        "x_label": curve.x_label or curve.x,
        "y_label": curve.y_label or curve.name,
        "panels": curves.panels,
        "maps": list(curves.maps),
        "note": curves.note,
        "bands": {estimator: _bands(values) for estimator, values in curves.values.items()},
    }


def _bands(values: np.ndarray) -> list[list[Plain]]:
    """Mean and 95 % band of (images, maps, panels, points), map by map and panel by panel."""
    _, maps, panels, points = values.shape
    # one call: bootstraps of many columns cost little more than of one
    ends = [end.reshape(maps, panels, points) for end in band(values.reshape(len(values), -1))]
    return [
        [
            {name: numbers(end[i, j]) for name, end in zip(("mean", "low", "high"), ends, strict=True)}
            for j in range(panels)
        ]
        for i in range(maps)
    ]


def cost_values(comparison: Comparison, tables: list[Table], speeds: list[Speed]) -> list[Plain]:
    """What maps cost against how well they tell classes apart, for every such score and kind of cost."""
    columns = headlines(comparison, ASPECT) if tables else []
    charts = [(cost, column) for cost in costs_of(comparison, speeds) for column in columns if len(cost.values) > 1]
    return [_cost(cost, column, entries_of(tables, column.name)) for cost, column in charts]


def entries_of(tables: list[Table], score: str) -> dict[str, Entry]:
    """Estimator → its entry of a score."""
    for table in tables:
        for j, column in enumerate(table.columns):
            if column.name == score:
                names = [cell.key.estimator for cell in table.comparison.cells]
                return {name: row[j] for name, row in zip(names, table.rows, strict=True)}
    return {}


def _cost(cost: Cost, column: Column, entries: dict[str, Entry]) -> Plain:
    intervals = {name: entries[name].interval for name in cost.values if np.isfinite(entries[name].interval.mean)}
    front = pareto_front(cost.values, {name: (column.sign or 1) * one.mean for name, one in intervals.items()})
    return {
        "name": cost.name,
        "label": cost.label,
        "note": f"{cost.note} Line: no other method is both cheaper and better (by the means).",
        "score": column.name,
        "points": [
            {
                "estimator": name,
                "cost": number(cost.values[name], DIGITS),
                **interval_values(one),
                "front": name in front,
            }
            for name, one in intervals.items()
        ],
    }


def agreement_values(comparison: Comparison) -> Plain | None:
    """Whether faithfulness and localisation order the methods alike."""
    found = agreements(comparison)
    if comparison.outputs == "quantities" or not found.pairs:
        return None
    return {
        "note": agreement_note(comparison, found),
        "rows": list(dict.fromkeys(pair.first.name for pair in found.pairs)),
        "columns": list(dict.fromkeys(pair.second.name for pair in found.pairs)),
        "pairs": [
            {
                "first": pair.first.name,
                "second": pair.second.name,
                "of_means": interval_values(pair.of_means),
                "per_image": interval_values(pair.per_image),
            }
            for pair in found.pairs
        ],
    }
