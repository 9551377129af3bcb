"""Comparisons: which cells may stand in one table, because they differ in the estimator alone."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from cdam_bench.drawing.names import in_order
from cdam_bench.errors import UserError, nearest_names, require
from cdam_bench.reporting.version_0_1 import upgraded
from cdam_bench.store.cells import CellKey
from cdam_bench.store.columns import Declared
from cdam_bench.store.files import fingerprint, flatten, write_atomically
from cdam_bench.store.results import CellResult, read_cells


@dataclass(frozen=True)
class Comparison:
    """Cells of one dataset and backbone with equal settings, one per estimator.

    Args:
        dataset, backbone: names.
        cells: in the paper's order.
        variant: "" if it is the only configuration of its dataset and backbone, else eight digits that tell it apart.
        distinctive: the settings (key → value) in which it differs from the other configurations.
    """

    dataset: str
    backbone: str
    cells: list[CellResult]
    variant: str = ""
    distinctive: dict[str, Any] | None = None

    @property
    def folder(self) -> Path:
        """Where its tables and figures go, below the output folder."""
        return Path(self.dataset) / self.backbone

    def file_name(self, name: str, extension: str) -> Path:
        """Path of one of its files, below the output folder."""
        return self.folder / f"{name}{f'_{self.variant}' if self.variant else ''}.{extension}"

    @property
    def settings(self) -> dict[str, Any]:
        """What all its cells have in common."""
        return common_settings(self.cells[0])

    @property
    def complete_cells(self) -> list[CellResult]:
        return [cell for cell in self.cells if cell.is_complete]

    @property
    def title(self) -> str:
        return f"{self.dataset} · {self.backbone}"

    @property
    def distinction(self) -> str:
        """What tells it from the other configurations, in words; empty if there are none."""
        return ", ".join(f"{key}={value}" for key, value in (self.distinctive or {}).items())

    @property
    def outputs(self) -> str:
        """What kind the head's outputs are: "classes" that compete, "concepts", "labels" or "quantities"."""
        return str(self.cells[0].description.get("outputs", "classes"))

    @cached_property
    def declared(self) -> Declared:
        """What the metrics say about their columns and curves."""
        return Declared.of(self.cells[0].description.get("metrics", {}))

    @cached_property
    def measured(self) -> list[str]:
        """Names of all scores that any of its cells has."""
        return list(dict.fromkeys(name for cell in self.cells for name in self._columns[cell.key][1]))

    @property
    def counts(self) -> str:
        """Over how many images its means are, in words: "200", or "200 or 40 of 200" where a cell is not finished."""
        found = {(cell.is_complete, len(cell.scores), cell.num_images) for cell in self.cells}
        ordered = sorted(found, key=lambda one: (not one[0], *one[1:]))
        return " or ".join(str(done) if complete else f"{done} of {total}" for complete, done, total in ordered)

    @cached_property
    def images(self) -> list[str]:
        """Names of all images any of its cells has measured."""
        return list(dict.fromkeys(name for cell in self.cells for name in cell.scores["image"]))

    def values(self, cell: CellResult, scores: list[str]) -> np.ndarray:
        """Scores of a cell, (images, scores), in the order of `images`; NaN where it has none."""
        places, columns = self._columns[cell.key]
        undefined = np.full(len(places), np.nan)
        values = np.full((len(self.images), len(scores)), np.nan)
        values[places] = np.stack([columns.get(score, undefined) for score in scores], 1)
        return values

    @cached_property
    def _columns(self) -> dict[CellKey, tuple[list[int], dict[str, np.ndarray]]]:
        """Of every cell: the places of its images in `images`, and its scores by name."""
        return {
            cell.key: (
                [self._places[name] for name in cell.scores["image"]],
                {str(name): column.to_numpy() for name, column in cell.scores.items() if column.dtype.kind in "bif"},
            )
            for cell in self.cells
        }

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.images)}


def common_settings(cell: CellResult) -> dict[str, Any]:
    """The settings that cells must share to be compared: all but the estimator."""
    return {key: value for key, value in cell.description["identity"].items() if key != "estimator"}


def read_comparisons(results_dir: Path, dataset: str | None = None) -> list[Comparison]:
    """Every comparison that a store allows.

    Args:
        results_dir: the store.
        dataset: take this one alone; None: all.
    Raises:
        UserError: if the store has no results, or none of that dataset.
    """
    cells = read_cells(results_dir)
    if not cells:
        raise UserError(f"{results_dir} has no results yet: fill it with `cdam-bench sweep experiment=demo`")
    return compare(of_dataset(cells, results_dir, dataset))


def of_dataset(cells: list[CellResult], source: Path, dataset: str | None) -> list[CellResult]:
    """The cells of one dataset; None: all of them.

    Raises:
        UserError: if `source`, which they are from, has none of that dataset.
    """
    if dataset is None:
        return cells
    known = sorted({cell.key.dataset for cell in cells})
    near = " or ".join(nearest_names(dataset, known))
    hint = f"did you mean {near}? " if near else ""
    require(dataset in known, f"{source} has no results of dataset {dataset}: {hint}it has {', '.join(known)}")
    return [cell for cell in cells if cell.key.dataset == dataset]


def compare(cells: list[CellResult]) -> list[Comparison]:
    """Put together the cells that may be compared, in the order of dataset, backbone and configuration."""
    comparisons = []
    cells = [replace(cell, description=upgraded(cell.description)) for cell in cells]
    for (dataset, backbone), members in _grouped(cells, lambda cell: (cell.key.dataset, cell.key.backbone)):
        variants = _grouped(members, lambda cell: fingerprint(common_settings(cell)))
        flat = [flatten(common_settings(variant[0])) for _, variant in variants]
        keys = sorted({key for settings in flat for key in settings})
        differing = [key for key in keys if any(settings.get(key) != flat[0].get(key) for settings in flat)]
        for (digest, variant), settings in zip(variants, flat, strict=True):
            order = in_order(cell.key.estimator for cell in variant)
            ordered = sorted(variant, key=lambda cell: order.index(cell.key.estimator))
            distinctive = {key: settings.get(key, "left out") for key in differing}
            name = digest[:8] if len(variants) > 1 else ""
            comparisons.append(Comparison(dataset, backbone, ordered, name, distinctive))
    return comparisons


def _grouped(cells: Iterable[CellResult], key: Callable[[CellResult], Any]) -> list[tuple[Any, list[CellResult]]]:
    return [(value, list(members)) for value, members in groupby(sorted(cells, key=key), key=key)]


def write_pages(
    comparisons: Iterable[Comparison], output_dir: Path, kind: str, pages: Callable[[Comparison], dict[str, str]]
) -> list[Path]:
    """Write pages beside the tables of each comparison, and take away those that no longer hold.

    Args:
        comparisons: from `read_comparisons`.
        output_dir: created if need be.
        kind: of pages; see `remove_stale`.
        pages: a comparison → its pages: file name, as "differences.csv", → text.
    Returns:
        The files written.
    """
    written = []
    for comparison in comparisons:
        for name, text in pages(comparison).items():
            path = output_dir / comparison.file_name(*name.rsplit(".", 1))
            write_atomically(path, text.encode(), durable=False)
            written.append(path)
    remove_stale(written, kind)
    return written


def remove_stale(written: list[Path], kind: str) -> None:
    """Delete files that an earlier run wrote and this one did not, so that nothing outdated stands beside the new ones.

    Which files those are is kept beside them, in .<kind>.txt: nobody's own files are touched.

    Args:
        written: files of this run; only their folders are looked at.
        kind: of files, such as "tables"; each kind is kept apart.
    """
    for folder in {path.parent for path in written}:
        names = sorted(path.name for path in written if path.parent == folder)
        kept = folder / f".{kind}.txt"
        before = kept.read_text(encoding="utf-8").splitlines() if kept.is_file() else []
        for name in set(before) - set(names):
            if name == Path(name).name:
                (folder / name).unlink(missing_ok=True)
        write_atomically(kept, "\n".join(names).encode(), durable=False)
