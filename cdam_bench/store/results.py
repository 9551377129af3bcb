"""Results: what the cells of a store have to show, read back."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cdam_bench.store.cells import Cell, CellKey
from cdam_bench.store.chunks import Arrays, concatenate
from cdam_bench.store.columns import Curve
from cdam_bench.store.scores import damaged, read_scores, scores_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class CellResult:
    """What a cell has to show so far.

    Args:
        key: its names.
        description: cell.yaml.
        scores: a row per image done.
        num_images: images the complete cell has.
        path: its folder.
    """

    key: CellKey
    description: dict[str, Any]
    scores: "pd.DataFrame"
    num_images: int
    path: Path

    @property
    def is_complete(self) -> bool:
        return bool(self.description["complete"])

    def curves(self) -> tuple[Arrays, dict[str, Any]]:
        """Curves of a complete cell (name → (images, …)) and their axes (name of a curve → axis → values)."""
        file = self.path / "curves.npz"
        try:
            with np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            axes = json.loads(str(arrays.pop("axes")))
            arrays.pop("image")
        except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise damaged(file) from error
        return arrays, axes

    def ends(self, curves: Sequence[Curve], axis: str) -> dict[str, tuple[float, float]]:
        """Means over images at the first and the last value of an axis, of those curves that it has: name → both.

        They are of the first target's output; along the other axes the first values are taken.
        """
        arrays, _axes = self.curves()
        return {curve.name: _ends(curve, arrays[curve.name], axis) for curve in curves if curve.name in arrays}


def _ends(curve: Curve, array: np.ndarray, axis: str) -> tuple[float, float]:
    """Means of (images, *axes) at both ends of an axis."""
    ends = (array[(slice(None), *(end if name == axis else 0 for name in curve.axes))] for end in (0, -1))
    start, end = (float(np.nanmean(values.astype(np.float64))) for values in ends)
    return start, end


def cell_keys(results_dir: Path) -> list[CellKey]:
    """Every cell that was begun, in the order of their names."""
    files = (results_dir / "cells").glob("[!.]*/[!.]*/[!.]*/cell.yaml")
    return [CellKey(*file.parent.parts[-3:]) for file in sorted(files)]


def read_cells(results_dir: Path) -> list[CellResult]:
    """Every cell of a store that has at least one image done, in the order of their names."""
    results = []
    for key in cell_keys(results_dir):
        cell = Cell(results_dir, key)
        description = cell.description
        if description is None:
            continue
        if cell.is_complete:
            scores = read_scores(cell.path / "scores.csv")
            if len(scores) != cell.num_images:
                raise damaged(cell.path / "scores.csv")
        else:
            parts = [part for part in cell.read_chunks() if part is not None]
            if not parts:
                continue
            scores = scores_table(concatenate(parts))
        results.append(CellResult(key, description, scores, cell.num_images, cell.path))
    return results
