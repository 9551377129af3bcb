"""Finish the cells that many jobs filled, and take in chunks that were computed in other results folders."""

from collections.abc import Iterator
from pathlib import Path

from cdam_bench.errors import UserError, require
from cdam_bench.store.cells import FORMAT, Cell
from cdam_bench.store.files import sweep_temporaries
from cdam_bench.store.heartbeats import KeptError
from cdam_bench.store.results import cell_keys


def merge(results_dir: Path, sources: list[Path]) -> Iterator[str]:
    """Finish every cell of a store whose chunks are all there, and delete temporary files that killed jobs left.

    Args:
        results_dir: the store; created if there are sources.
        sources: other stores; intact chunks that `results_dir` has not yet are copied.
    Yields:
        A line for every cell that was changed or is not complete.
    Raises:
        UserError: for a folder that is not there, and for cells of different configurations.
    """
    for folder in [*sources, *([] if sources else [results_dir])]:
        require((folder / "cells").is_dir(), f"{folder} has no results: there is no folder cells in it")
    for source in sources:
        require(source.resolve() != results_dir.resolve(), f"{source} is results_dir itself: leave it out of sources")
        for key in cell_keys(source):
            copied = _take_in(Cell(source, key), Cell(results_dir, key))
            if copied:
                yield f"{key}: {copied} chunks copied from {source}"
    for key in cell_keys(results_dir):
        cell = Cell(results_dir, key)
        if not cell.is_complete:
            yield f"{key}: {_finish(cell)}"
    if swept := sweep_temporaries(path for path in results_dir.rglob("*.tmp") if path.is_file()):
        yield f"{swept} temporary files of killed jobs deleted"


def _take_in(source: Cell, cell: Cell) -> int:
    """Copy chunks of the same configuration that are not there; says how many."""
    assert source.description is not None
    if cell.description is not None and cell.is_complete:
        return 0
    try:
        cell.open(source.description["identity"], {**source.description, "complete": False})
    except UserError as error:
        raise UserError(f"{source.path} cannot be merged: {error}") from None
    same = (cell.num_images, cell.chunk_size) == (source.num_images, source.chunk_size)
    require(same, f"{source.path} has chunks of {source.chunk_size} images, {cell.path} of {cell.chunk_size}")
    copied = 0
    for span in cell.ranges():
        if cell.chunks.read(*span) is None and (arrays := source.chunks.read(*span)) is not None:
            cell.chunks.write(*span, arrays)
            copied += 1
    return copied


def _finish(cell: Cell) -> str:
    """Finish a cell if it can be; says what came of it."""
    assert cell.description is not None
    cell.open(cell.description["identity"], {})
    if cell.description["format"] != FORMAT:
        return "begun by an older version: run it again with overwrite=true"
    lacking = cell.finish()
    if lacking:
        images = sum(stop - start for start, stop in lacking)
        return f"{images} of {cell.num_images} images are missing or damaged: run it again"
    KeptError(cell.path, 0, 1).forget(whole_cell=True)
    return f"finished, {cell.num_images} images"
