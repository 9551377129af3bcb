"""Tables of a results folder as Markdown, CSV and LaTeX: `python scripts/make_tables.py`."""

from pathlib import Path

from omegaconf import DictConfig

from cdam_bench.cli import run
from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.paired import write_paired
from cdam_bench.reporting.tables import write_tables


def make_tables(config: DictConfig) -> None:
    comparisons = read_comparisons(Path(config.results_dir), config.dataset)
    *written, together = write_tables(comparisons, Path(config.output_dir))
    paired = write_paired(comparisons, Path(config.output_dir))
    print(together.read_text(encoding="utf-8"))
    print(*written, *paired, together, sep="\n")


if __name__ == "__main__":
    run(make_tables, "make_tables")
