"""What is written and told about a sweep as a whole; Hydra calls it at the sweep's start and end (conf/config.yaml)."""

import itertools
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from cdam_bench.store.cells import CellKey
from cdam_bench.store.heartbeats import errors_of
from cdam_bench.store.status import write_plan


class SweepReport(Callback):
    """Writes down which cells the sweep is going to run, and at its end lists those that failed and exits with status 2.

    It works for every launcher: what failed is read from the errors that the jobs keep beside their cells.
    """

    def __init__(self) -> None:
        self.cells: set[CellKey] = set()
        self.before: dict[CellKey, list[Any]] = {}

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        overrides = list(config.hydra.overrides.task)
        self.cells = cells_of_sweep(config, overrides)
        results_dir = Path(config.results_dir)
        self.before = {key: errors_of(key.folder(results_dir)) for key in self.cells}
        started = time.strftime("%Y-%m-%d %H:%M:%S %z")
        with suppress(OSError):  # where nothing can be written, the sweep itself says so
            write_plan(results_dir, self.cells, {"started": started, "overrides": overrides})

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        results_dir = Path(config.results_dir)
        failed = 0
        for key in sorted(self.cells, key=str):
            new = [error for error in errors_of(key.folder(results_dir)) if error not in self.before[key]]
            failed += bool(new)
            for error in new:
                print(f"failed: {key}: {error['error']}", file=sys.stderr)
        if failed:
            folder = "cells/<dataset>/<backbone>/<estimator>/errors"
            print(f"{failed} of {len(self.cells)} cells failed; more in {results_dir}/{folder}", file=sys.stderr)
            sys.exit(2)


def cells_of_sweep(config: DictConfig, overrides: list[str]) -> set[CellKey]:
    """The cells that a sweep with a list of choices runs; none for other sweeps (intervals, search).

    Args:
        config: Hydra's, composed for the sweep.
        overrides: of the command line.
    """
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
    choices: dict[str, list[str]] = {}
    for override in OverridesParser.create().parse_overrides([*params, *overrides]):
        key = override.get_key_element()
        if not override.is_sweep_override():
            choices[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            choices[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            return set()
    choices.pop("shard", None)  # shards of a cell are one cell
    loader = GlobalHydra.instance().config_loader()
    current, keys = HydraConfig.instance().cfg, set()
    try:
        for job in itertools.product(*choices.values()):
            composed = loader.load_sweep_config(config, list(job))
            HydraConfig.instance().set_config(composed)  # the names are Hydra's choices
            keys.add(CellKey(**composed.names))
    finally:
        HydraConfig.instance().cfg = current
    return keys
