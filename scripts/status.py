"""How far the cells of a results folder are: `python scripts/status.py [results_dir=…] [--json]`."""

import json
import sys
from pathlib import Path

from omegaconf import DictConfig

from cdam_bench.cli import run
from cdam_bench.progress import read_status, status_table


def status(config: DictConfig) -> None:
    cells = read_status(Path(config.results_dir))
    print(json.dumps([cell.as_dict() for cell in cells], indent=1) if config.json else status_table(cells))


if __name__ == "__main__":
    sys.argv = [{"--json": "json=true"}.get(word, word) for word in sys.argv]
    run(status, "status")
