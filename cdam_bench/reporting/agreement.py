"""Do faithfulness and localisation order the methods alike? Over methods, and on each image alone."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from cdam_bench.drawing.names import display_name
from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.reporting.formats import format_interval
from cdam_bench.reporting.layout import everywhere, headlines
from cdam_bench.reporting.markdown import page
from cdam_bench.reporting.near_duplicates import ALIKE, near_duplicates
from cdam_bench.statistics import FEWEST_METHODS, Interval, agreement_of_means, agreement_per_image
from cdam_bench.store.columns import Column
from cdam_bench.store.csv_text import csv_text

ASPECTS = ("faithfulness", "localisation")  # whose headlines are compared in how they order the methods


@dataclass(frozen=True)
class Agreement:
    """Do two scores order the methods alike?

    Args:
        first, second: the scores.
        of_means: Spearman's correlation of the methods' means, over methods; its count is the number of methods.
        per_image: the mean over images of the correlation over methods on one image; its count is the number of images.
    """

    first: Column
    second: Column
    of_means: Interval
    per_image: Interval


@dataclass(frozen=True)
class Agreements:
    """All pairs of scores of a comparison.

    Args:
        groups: names of the methods; near-duplicates stand together and count once, as the mean of their scores.
        pairs: every headline of faithfulness with every one of localisation.
    """

    groups: list[list[str]]
    pairs: list[Agreement]


def agreements(comparison: Comparison) -> Agreements:
    """Every headline of faithfulness with every one of localisation, over the finished methods; no pairs for fewer than three."""
    both = [everywhere(comparison, headlines(comparison, aspect)) for aspect in ASPECTS]
    if len(comparison.complete_cells) < FEWEST_METHODS or not all(both):
        return Agreements([], [])
    groups = near_duplicates(comparison, [column for own in both for column in own])
    if len(groups) < FEWEST_METHODS:
        return Agreements(groups, [])
    values = {column.name: _by_group(comparison, column, groups) for own in both for column in own}
    pairs = []
    for first, second in product(*both):
        own, other = values[first.name], values[second.name]
        pairs.append(Agreement(first, second, agreement_of_means(own, other), agreement_per_image(own, other)))
    return Agreements(groups, pairs)


def _by_group(comparison: Comparison, column: Column, groups: list[list[str]]) -> np.ndarray:
    """(images, groups): the mean over the methods of a group."""
    of_method = {cell.key.estimator: comparison.values(cell, [column.name])[:, 0] for cell in comparison.complete_cells}
    return np.stack([np.mean([of_method[name] for name in group], axis=0) for group in groups], 1)


def agreement_note(comparison: Comparison, found: Agreements) -> str:
    """What the numbers are."""
    methods = sum(map(len, found.groups))
    return (
        f"Do {' and '.join(ASPECTS)} order the {methods} methods alike, on {comparison.title}? Spearman's rank correlation over "
        "methods, of their means, and on each image alone (mean over images; images where a score is undefined or equal for all "
        "methods are left out) [95 % interval of a two-way bootstrap, bias-corrected: images and methods are both drawn anew]. "
        f"{_duplicates(found.groups, methods)}"
    )


def agreement_page(comparison: Comparison, found: Agreements) -> str:
    """Markdown: a row per pair of scores."""
    heading = [*map(str.capitalize, ASPECTS), "of the means", "per image", "images"]
    rows = [
        [
            *(pair.first.text, pair.second.text),
            *(format_interval(interval, 2) for interval in (pair.of_means, pair.per_image)),
            str(pair.per_image.count),
        ]
        for pair in found.pairs
    ]
    return page(agreement_note(comparison, found), heading, rows)


def _duplicates(groups: list[list[str]], methods: int) -> str:
    """A sentence on what counts once."""
    told = ["; ".join(", ".join(map(display_name, group)) for group in groups if len(group) > 1)]
    rule = (
        "variants of one map, one class with other settings, or methods whose scores have a mean rank correlation over images of "
        f"{ALIKE} or more"
    )
    if not any(told):
        return f"No near-duplicates ({rule})."
    return f"Near-duplicates count once, as the mean of their scores, which leaves {len(groups)} of {methods}: {told[0]} ({rule})."


def agreement_csv(found: Agreements) -> str:
    """For machines: two lines per pair of scores; `methods` is how many counted, near-duplicates once."""
    heading = ("first", "second", "over", "spearman", "low", "high", "n", "methods")
    rows = [
        [pair.first.name, pair.second.name, over, interval, str(pair.of_means.count)]
        for pair in found.pairs
        for over, interval in (("means", pair.of_means), ("image", pair.per_image))
    ]
    return csv_text(heading, rows)
