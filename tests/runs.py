"""Run the command line in this process, on few images."""

import sys
from pathlib import Path

import pytest

from cdam_bench.cli import run
from cdam_bench.runner import run_cell

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
    settings = [word for word in overrides if "=" in word]
    flags = [word for word in overrides if "=" not in word]  # the command line wants them first
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
