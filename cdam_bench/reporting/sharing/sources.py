"""Where scores are read from: a results folder, or a file that `cdam-bench export` wrote."""

from pathlib import Path

from cdam_bench.errors import require
from cdam_bench.reporting.comparisons import Comparison, compare, of_dataset
from cdam_bench.reporting.sharing.exported import read_export
from cdam_bench.store.results import CellResult, read_cells


def cells_of(source: Path, key: str) -> list[CellResult]:
    """Every cell of a results folder or of an exported file.

    Args:
        source: the folder or file.
        key: name of the setting that it came from.
    Raises:
        UserError: if it is neither, or empty.
    """
    require(source.exists(), f"{key}={source}: there is no such folder or file")
    cells = read_cells(source) if source.is_dir() else read_export(source)
    require(bool(cells), f"{key}={source}: has no results; a results folder has cells/ in it")
    return cells


def comparisons_of(source: Path, key: str, dataset: str | None = None) -> list[Comparison]:
    """Every comparison that a results folder or an exported file allows; of one dataset alone, if it is named.

    Raises:
        UserError: as `cells_of`, and if it has none of that dataset.
    """
    return compare(of_dataset(cells_of(source, key), source, dataset))
