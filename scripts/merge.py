"""Finish the cells whose chunks are all there: `python scripts/merge.py [results_dir=…] [sources=[…]]`."""

from pathlib import Path

from omegaconf import DictConfig

from cdam_bench.cli import run
from cdam_bench.merging import merge


def merge_results(config: DictConfig) -> None:
    for line in merge(Path(config.results_dir), [Path(source) for source in config.sources]):
        print(line)


if __name__ == "__main__":
    run(merge_results, "merge")
