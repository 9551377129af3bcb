"""Curves and maps of a results folder as PNG and PDF: `python scripts/make_figures.py`."""

import sys
from pathlib import Path

from omegaconf import DictConfig

from cdam_bench.cli import run
from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.figures import write_figures


def make_figures(config: DictConfig) -> None:
    comparisons = read_comparisons(Path(config.results_dir), config.only)
    written, problems = write_figures(
        comparisons, Path(config.output_dir), config.num_images, config.paths, config.runtime
    )
    print(*written, sep="\n")
    print(*problems, sep="\n", end="", file=sys.stderr)


if __name__ == "__main__":
    run(make_figures, "make_figures")
