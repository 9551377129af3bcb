"""How far the cells of a results folder are: heartbeats of the jobs at work, errors of those that failed, and both together.

    results/cells/<dataset>/<backbone>/<estimator>/
        running/<host>-<process>.json     rewritten every 20 seconds and after each chunk, removed at the end
        errors/<shard>of<shards>.yaml     why that shard failed, until it succeeds
    results/sweeps/plan-<fingerprint>.json    the cells a sweep is going to run

Nothing here imports torch: `cdam-bench status` must be quick.
"""

import json
import os
import socket
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from cdam_bench.errors import UserError, one_line
from cdam_bench.store.cells import SAFE_LOADER
from cdam_bench.store.files import LEFT_BEHIND, write_atomically

BEAT_SECONDS = 20.0
STALE_SECONDS = 120.0  # a job whose last beat is older counts as dead: five beats may come late


def job_name() -> str | None:
    """What the scheduler calls this job, the same again when it is requeued; None outside of one."""
    names = os.environ
    if "SLURM_ARRAY_JOB_ID" in names:
        return f"slurm {names['SLURM_ARRAY_JOB_ID']}_{names['SLURM_ARRAY_TASK_ID']}"
    if "SLURM_JOB_ID" in names:
        return f"slurm {names['SLURM_JOB_ID']}"
    local = names.get("SUBMITIT_LOCAL_JOB_ID")
    return None if local is None else f"local {local}"


class Heartbeat:
    """Says that this process is at work on a cell: a file that is rewritten by a thread, for the length of a `with`.

    It is only news: a beat that cannot be written is left out, and whatever is wrong stops the job where it matters.

    Args:
        cell_path: folder of the cell.
        shard, shards: what this job does of it.
        images: it has to do.
    """

    def __init__(self, cell_path: Path, shard: int, shards: int, images: int) -> None:
        self.file = cell_path / "running" / f"{socket.gethostname()}-{os.getpid()}.json"
        self.facts = {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "job": job_name(),
            "shard": shard,
            "shards": shards,
            "images": images,
            "stale_after_seconds": STALE_SECONDS,
        }
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_beating, daemon=True, name="heartbeat")
        self._done = 0

    def __enter__(self) -> "Heartbeat":
        self.beat(0)
        self._thread.start()
        return self

    def beat(self, done: int) -> None:
        """Write it now; `done` images of this job's share are there."""
        self._done = done
        facts = {**self.facts, "done": done, "time": time.strftime("%Y-%m-%d %H:%M:%S %z")}
        with suppress(OSError):
            write_atomically(self.file, json.dumps(facts).encode(), durable=False)

    def _keep_beating(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            self.beat(self._done)

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        with suppress(OSError):
            self.file.unlink()
            self.file.parent.rmdir()  # unless another job beats there

    def others(self) -> bool:
        """Whether another job works on the same dataset and backbone at the moment."""
        backbone = self.file.parents[2]
        now = clock_of(self.file.parent)
        return any(running_jobs(cell / "running", now, self.file.name) for cell in backbone.iterdir())


def clock_of(folder: Path) -> float:
    """The time it is for the file system of `folder`, which is what its files' times are to be compared with.

    On a shared file system the server stamps the files, so that the clocks of the machines do not matter. Where nothing can be
    written: this machine's time.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".clock", suffix=".tmp") as file:
            file.write(b"now")
            file.flush()
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


def running_jobs(folder: Path, now: float, own: str = "") -> list[dict[str, Any]]:
    """What the fresh heartbeats in a cell's folder `running` say; those left by dead jobs an hour ago are deleted.

    Args:
        folder: `running` of a cell; it need not exist.
        now: from `clock_of`.
        own: name of a file to leave out.
    """
    jobs = []
    with suppress(OSError), os.scandir(folder) as files:
        for file in files:
            if file.name == own or file.name.startswith("."):
                continue
            with suppress(OSError, ValueError, KeyError, TypeError):  # ended meanwhile, or not one of ours
                age = now - file.stat().st_mtime
                facts = json.loads(Path(file).read_bytes())
                if abs(age) <= facts["stale_after_seconds"]:  # one from the future is a clock's error, not a dead job
                    jobs.append({**facts, "age_seconds": round(max(age, 0.0), 1)})
                elif age > LEFT_BEHIND:
                    Path(file).unlink()
    return jobs


class KeptError:
    """What made one shard of a cell fail, kept beside the cell until that shard succeeds.

    Args:
        cell_path: folder of the cell.
        shard, shards: which.
    """

    def __init__(self, cell_path: Path, shard: int, shards: int) -> None:
        self.file = cell_path / "errors" / f"{shard}of{shards}.yaml"

    def keep(self, error: BaseException) -> None:
        """Write down a line, the traceback, where and when; what cannot be written is left out."""
        facts = {
            "error": one_line(error),
            "mistake": isinstance(error, UserError),
            "host": socket.gethostname(),
            "job": job_name(),
            "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
            "traceback": "".join(traceback.format_exception(error)).splitlines(),
        }
        with suppress(OSError):
            text = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=1000)
            write_atomically(self.file, text.encode())

    def forget(self, whole_cell: bool) -> None:
        """Delete it, or, when the whole cell is done, those of all its shards."""
        for file in self.file.parent.glob("*.yaml") if whole_cell else [self.file]:
            file.unlink(missing_ok=True)
        with suppress(OSError):
            self.file.parent.rmdir()


def errors_of(cell_path: Path) -> list[dict[str, Any]]:
    """The errors kept beside a cell, the last one last."""
    errors = []
    for file in (cell_path / "errors").glob("*of*.yaml"):
        with suppress(OSError, yaml.YAMLError, UnicodeDecodeError):  # forgotten meanwhile
            facts = yaml.load(file.read_text(encoding="utf-8"), Loader=SAFE_LOADER)
            if isinstance(facts, dict) and "error" in facts:
                errors.append({**facts, "shard": file.stem, "stamp": file.stat().st_mtime})
    return sorted(errors, key=lambda facts: facts["stamp"])
