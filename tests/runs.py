"""Run the command line in this process, on few images."""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from cdam_bench.benchmark.run import run_cell
from cdam_bench.cli.app import run
from cdam_bench.reporting.comparisons import compare
from cdam_bench.reporting.tables import write_tables
from cdam_bench.store.results import read_cells

SMALL = (
    "dataset.num_images=6",
    "chunk_size=2",
    "metric.fidelity.steps=4",
    "metric.box_sensitivity.num_boxes=8",
    "metric.box_sensitivity.sizes=[20,50]",
    "runtime.device=cpu",
)


def cdam_bench(results_dir: Path, *overrides: str, task=run_cell, config_name: str = "config") -> int:
    """`python -m cdam_bench` with a small dataset; returns the exit status."""
    small = SMALL if config_name == "config" else ()
    settings = [word for word in overrides if not word.startswith("-")]
    flags = [word for word in overrides if word.startswith("-")]  # the command line wants them together
    arguments = ["cdam_bench", *flags, f"results_dir={results_dir}", *small, *settings]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        try:
            run(task, config_name)
        except SystemExit as exit_:
            return int(exit_.code or 0)
    return 0


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


FILES = ("scores.csv", "curves.npz")


def tables_of(results_dir: Path, estimators: Iterable[str], dataset: str = "digits_multi") -> dict[str, bytes]:
    """What the cells of a dataset come to: scores, curves and all tables, byte for byte."""
    folder = results_dir / "cells" / dataset / "digits_vit"
    files = {f"{estimator}/{name}": folder / estimator / name for estimator in estimators for name in FILES}
    cells = [
        cell for cell in read_cells(results_dir) if cell.key.dataset == dataset and cell.key.estimator in estimators
    ]
    with TemporaryDirectory() as output:
        files |= {str(file.relative_to(output)): file for file in write_tables(compare(cells), Path(output))}
        return {name: file.read_bytes() for name, file in files.items()}


def in_a_child(work: Callable[[], int]) -> int:
    """Start `work` in a copy of this process, which exits with what it returns; the copy's process id."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            status = work()
        finally:
            os._exit(status)
    return child


def exit_status(child: int) -> int:
    """Wait for a child to end; minus the signal if one killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
