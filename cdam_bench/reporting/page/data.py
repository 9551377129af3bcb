"""All that the page holds, as plain values for JSON."""

from collections.abc import Iterable

from omegaconf import DictConfig

from cdam_bench.benchmark.versions import version_of
from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.reporting.cost import Speed
from cdam_bench.reporting.means import make_tables
from cdam_bench.reporting.page.charts import agreement_values, cost_values, curve_values
from cdam_bench.reporting.page.choosing import Chosen, choose_images
from cdam_bench.reporting.page.images import image_values, shown_images
from cdam_bench.reporting.page.look import families, looks
from cdam_bench.reporting.page.notes import note_values
from cdam_bench.reporting.page.pictures import Pictures
from cdam_bench.reporting.page.plain import Plain
from cdam_bench.reporting.page.runs import cell_values, headline_values, setting_values
from cdam_bench.reporting.page.tables import (
    headline_columns,
    paper_values,
    ranking_values,
    score_values,
    shown_columns,
    table_values,
    text_tables,
)
from cdam_bench.reporting.ranking import rankings

FORMAT = 1
TITLE = "Results of cdam_bench"
VALUES = 400_000  # scores of single images on the page, of all comparisons: three megabytes
THUMBNAILS = 400  # small pictures, of all comparisons


class Gallery:
    """How much of its images each comparison shows.

    Args:
        images: with maps; 0: none, and no small pictures either.
        seconds: that the maps of all comparisons may take.
        paths, runtime: where data and weights are and what computes the maps.
    """

    def __init__(self, images: int, seconds: float, paths: DictConfig, runtime: DictConfig) -> None:
        self.images, self.seconds, self.paths, self.runtime = images, seconds, paths, runtime

    def pictures(self, comparison: Comparison, chosen: list[Chosen], names: list[str], among: int) -> Pictures:
        """The pictures of one of `among` comparisons: maps of chosen images, small ones of those of these names."""
        if not chosen:
            return Pictures()
        from cdam_bench.reporting.page.gallery import show_pictures  # torch and all that follows: seconds

        first = [comparison.images[one.place] for one in chosen]
        small = list(dict.fromkeys([*first, *names]))[: max(THUMBNAILS // among, len(first))]
        found = show_pictures(comparison, chosen, small, self.seconds / among, self.paths, self.runtime)
        places = {name: place for place, name in enumerate(names)}
        for image in (found.gallery or {}).get("images", ()):  # places among those that the page has
            image["image"] = places[comparison.images[image["image"]]]
        return found


def page_values(comparisons: list[Comparison], speeds: list[Speed], gallery: Gallery) -> tuple[Plain, list[str]]:
    """Everything on the page, and a line for everything that could not be shown.

    Args:
        comparisons: from `read_comparisons`.
        speeds: from `read_speeds`.
        gallery: how many images are shown with maps.
    """
    estimators = [cell.key.estimator for comparison in comparisons for cell in comparison.cells]
    found, problems = [], []
    for comparison in comparisons:
        values, pictures = _comparison_values(comparison, speeds, gallery, len(comparisons))
        found.append(values)
        problems += pictures.problems
    page = {
        "format": FORMAT,
        "title": TITLE,
        "version": version_of("cdam-bench"),
        "notes": problems,
        "estimators": looks(estimators),
        "families": families(dict.fromkeys(estimators)),
        "comparisons": found,
    }
    return page, problems


def _comparison_values(
    comparison: Comparison, speeds: list[Speed], gallery: Gallery, among: int
) -> tuple[Plain, Pictures]:
    """One comparison, and its pictures."""
    columns, headlines = shown_columns(comparison), headline_columns(comparison)
    tables = make_tables(comparison)
    chosen = choose_images(comparison, headlines, gallery.images)
    first = [comparison.images[one.place] for one in chosen]
    names = shown_images(comparison, columns, first, VALUES // among)
    pictures = gallery.pictures(comparison, chosen, names, among)
    by_name = {ranking.column.name: ranking for ranking in rankings(comparison)}
    of_other = [one.name for one in headlines if f"other_{one.name}" in comparison.measured]
    values = {
        "id": "/".join(filter(None, [comparison.dataset, comparison.backbone, comparison.variant])),
        "title": comparison.title,
        "dataset": comparison.dataset,
        "backbone": comparison.backbone,
        "distinction": comparison.distinction,
        "headline": headline_values(comparison),
        "estimators": _ids(comparison.cells),
        "complete": _ids(comparison.complete_cells),
        "scores": score_values(columns),
        "headline_scores": [column.name for column in headlines],
        "rankings": [ranking_values(by_name[column.name]) for column in headlines if column.name in by_name],
        "tables": [table_values(table) for table in tables],
        "text_tables": text_tables(comparison),
        "paper": paper_values(comparison),
        "curves": curve_values(comparison),
        "images": image_values(comparison, columns, names, pictures.thumbnails, of_other),
        "scatter_scores": [column.name for column in columns],
        "gallery": pictures.gallery,
        "cost": cost_values(comparison, tables, speeds),
        "agreement": agreement_values(comparison),
        "settings": setting_values(comparison.settings),
        "cells": [cell_values(cell) for cell in comparison.cells],
        "notes": note_values(comparison, tables),
    }
    return values, pictures


def _ids(cells: Iterable) -> list[str]:
    return [cell.key.estimator for cell in cells]
