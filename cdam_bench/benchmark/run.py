"""Run one cell of a sweep: what is missing of it, chunk by chunk."""

import random
import time
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict
from tqdm import tqdm

from cdam_bench.benchmark.identity import cell_identity, device_name
from cdam_bench.benchmark.job import Job
from cdam_bench.benchmark.shared import SharedResults
from cdam_bench.benchmark.versions import library_versions
from cdam_bench.errors import UserError, require
from cdam_bench.store.cells import Cell, CellKey
from cdam_bench.store.chunks import Span
from cdam_bench.store.heartbeats import Heartbeat, KeptError, job_name


def run_cell(config: DictConfig) -> None:
    """Run the cell that `config` describes, or what is left of it; a finished one is left alone.

    A finished cell that lacks a metric asked for, or has it with other settings, is measured again in that metric alone.

    What makes it fail is kept beside the cell: always in a sweep, where no one looks on; in a run of its own once the cell was
    begun, so that a slip on the command line leaves the store as it is.

    Args:
        config: composed from conf/config.yaml.
    Raises:
        UserError: for settings that cannot be, before anything is written.
    """
    for name, value in config.names.items():
        plain_name = "/" not in value and not value.startswith(".") and len(value.encode()) < 200
        require(
            plain_name, f"names.{name}={value}: must be a name for a folder, without / and not beginning with a dot"
        )
    key = CellKey(**config.names)
    cell = Cell(Path(config.results_dir), key)
    kept_error = KeptError(cell.path, config.shard, config.shards)
    try:
        complete = _work_on(cell, config)
    except Exception as error:
        if cell.is_open or HydraConfig.get().mode == RunMode.MULTIRUN:
            kept_error.keep(error)
        raise
    kept_error.forget(whole_cell=complete)


def _work_on(cell: Cell, config: DictConfig) -> bool:
    """Run what is missing of this job's share; says whether the cell is complete then."""
    identity = cell_identity(config)
    if cell.was_finished and not config.overwrite:
        cell.open(identity, {})  # complains if it is of another configuration
        if cell.has(identity):
            print(f"{cell.key}: done before, {cell.num_images} images")
            return True
        config = config.copy()
        with open_dict(config):
            config.metric = cell.metrics  # what it has stays
    job = Job.prepare(config, cell.key)
    require(
        not config.overwrite or config.shards == 1,
        f"overwrite=true with shards={config.shards}: the shards would delete each other's results; "
        f"delete {cell.path} first",
    )
    cell.open(identity, _details(job, config), config.overwrite)
    shared = SharedResults(Path(config.results_dir), cell.key, {**identity, "metric": cell.metrics})
    _fill(cell, job, shared, config)
    if cell.left(cell.ranges()):
        return False  # other shards are still at work
    for _ in range(3):
        damaged = cell.finish()
        for span in damaged:
            cell.chunks.write(*span, job.measure(*span, shared))
        if not damaged:
            return True
    raise UserError(f"chunks in {cell.chunks.path} are damaged again each time they are written: check the disk")


def _details(job: Job, config: DictConfig) -> dict[str, object]:
    """What cell.yaml tells beside the identity."""
    return {
        "num_images": len(job.dataset),
        "chunk_size": config.chunk_size,
        "device": device_name(job.backbone.device),
        "job": job_name(),
        "versions": library_versions(),
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "outputs": job.outputs,
        "metrics": job.declarations(),
    }


def _fill(cell: Cell, job: Job, shared: SharedResults, config: DictConfig) -> None:
    """Compute what is left of this job's share."""
    spans = cell.ranges(config.shards, config.shard)
    left = cell.left(spans)
    total, to_do = _num_images(spans), _num_images(left)
    with (
        Heartbeat(cell.path, config.shard, config.shards, total) as heartbeat,
        tqdm(total=total, initial=total - to_do, desc=str(cell.key), unit="image") as bar,
    ):
        heartbeat.beat(total - to_do)
        for span in starting_anywhere(left) if heartbeat.others() else left:
            if cell.left([span]):  # else a twin of this job was faster
                found = cell.chunks.read(*span)
                only = None if found is None else cell.unmeasured(span)
                cell.chunks.write(*span, job.measure(*span, shared, only, found))
            bar.update(span[1] - span[0])
            heartbeat.beat(int(bar.n))


def starting_anywhere(spans: list[Span]) -> list[Span]:
    """The same spans in turn from a random one on.

    Jobs that start together on cells of one dataset and backbone thus compute different parts of what they share, and read the
    rest; and twins, jobs with the same share, help each other.
    """
    start = random.SystemRandom().randrange(len(spans)) if spans else 0
    return spans[start:] + spans[:start]


def _num_images(spans: list[Span]) -> int:
    return sum(stop - start for start, stop in spans)
