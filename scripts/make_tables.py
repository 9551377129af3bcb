"""Tables of a results folder as Markdown, CSV and LaTeX: `python scripts/make_tables.py`."""

from pathlib import Path

from omegaconf import DictConfig

from cdam_bench.cli import run
from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.lidc import write_lidc_tables
from cdam_bench.reporting.paired import write_paired
from cdam_bench.reporting.tables import write_tables


def make_tables(config: DictConfig) -> None:
    results_dir, output_dir = Path(config.results_dir), Path(config.output_dir)
    fine_tuned_alone = config.only is None and (results_dir / "lidc").is_dir() and not (results_dir / "cells").is_dir()
    comparisons = [] if fine_tuned_alone else read_comparisons(results_dir, config.only)
    *written, together = write_tables(comparisons, output_dir)
    paired = write_paired([one for one in comparisons if not one.outputs], output_dir)
    lidc = write_lidc_tables(comparisons, results_dir, output_dir)
    print(together.read_text(encoding="utf-8"))
    print(*(path.read_text(encoding="utf-8") for path in lidc if path.suffix == ".md"), sep="\n")
    print(*written, *paired, *lidc, together, sep="\n")


if __name__ == "__main__":
    run(make_tables, "make_tables")
