"""One page with the tables and figures of a results folder, and what was run: `python scripts/make_report.py`."""

from pathlib import Path

from omegaconf import DictConfig

from cdam_bench.cli import run
from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.figures import write_figures
from cdam_bench.reporting.report import write_report


def make_report(config: DictConfig) -> None:
    comparisons = read_comparisons(Path(config.results_dir), config.only)
    output_dir = Path(config.output_dir)
    figures, problems = write_figures(
        comparisons, output_dir / "figures", config.num_images, config.paths, config.runtime
    )
    print(write_report(comparisons, output_dir, figures, problems))


if __name__ == "__main__":
    run(make_report, "make_report")
