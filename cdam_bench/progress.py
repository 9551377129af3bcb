"""How far the cells of a results folder are: heartbeats of the jobs at work, errors of those that failed, and both together.

    results/cells/<dataset>/<backbone>/<estimator>/
        running/<host>-<process>.json     rewritten every 20 seconds and after each chunk, removed at the end
        errors/<shard>of<shards>.yaml     why that shard failed, until it succeeds
    results/sweeps/plan-<fingerprint>.json    the cells a sweep is going to run

Nothing here imports torch: `scripts/status.py` must be quick.
"""

import json
import os
import re
import socket
import tempfile
import threading
import time
import traceback
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from cdam_bench.errors import UserError, require
from cdam_bench.messages import one_line
from cdam_bench.store import FORMAT, LEFT_BEHIND, SAFE_LOADER, CellKey, fingerprint, write_atomically

BEAT_SECONDS = 20.0
STALE_SECONDS = 120.0  # a job whose last beat is older counts as dead: five beats may come late
CHUNK_NAME = re.compile(r"(\d+)-(\d+)\.npz")
DONE, RUNNING, FAILED, PARTIAL, MISSING = STATES = ("done", "running", "failed", "partial", "missing")


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


@dataclass(frozen=True)
class CellStatus:
    """How far a cell is.

    Args:
        dataset, backbone, estimator: its names.
        state: one of STATES; of several that hold, the first.
        done: images in its chunks, as their names say: they are not read.
        images: it has when done; None if it was never begun.
        jobs: at work on it.
        error: the last one, in one line, or None.
    """

    dataset: str
    backbone: str
    estimator: str
    state: str
    done: int
    images: int | None
    jobs: list[dict[str, Any]]
    error: str | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_status(results_dir: Path) -> list[CellStatus]:
    """Every cell that was begun, failed, or is planned by a sweep, in the order of their names.

    Raises:
        UserError: if there is no such folder.
    """
    require(results_dir.is_dir(), f"results_dir={results_dir} is not there: start a sweep, or name another folder")
    cells = results_dir / "cells"
    begun = {CellKey(*path.parts[-3:]) for path in cells.glob("[!.]*/[!.]*/[!.]*") if path.is_dir()}
    keys = begun | planned_cells(results_dir)
    now = clock_of(results_dir)
    ordered = sorted(keys, key=lambda key: (key.dataset, key.backbone, key.estimator))
    return [_cell_status(key, key.folder(results_dir), now) for key in ordered]


def _cell_status(key: CellKey, path: Path, now: float) -> CellStatus:
    complete, images, problem = _head(path / "cell.yaml")
    jobs = running_jobs(path / "running", now)
    errors = errors_of(path) if (path / "errors").is_dir() else []
    error = problem or (errors[-1]["error"] if errors else None)
    done = images if complete and images else _images_in_chunks(path / "chunks")
    if problem is None and complete:
        state = DONE
    elif jobs:
        state = RUNNING
    elif error:
        state = FAILED
    else:
        state = MISSING if images is None else PARTIAL
    return CellStatus(key.dataset, key.backbone, key.estimator, state, done, images, jobs, error)


def _head(file: Path) -> tuple[bool, int | None, str | None]:
    """Of a cell.yaml: complete or not, number of images, and what is wrong with the file. Its YAML is not parsed: 3 ms each."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return False, None, None
    except (OSError, UnicodeDecodeError):
        return False, None, f"{file} is damaged: delete its folder and run the cell again"
    found = dict(re.findall(r"^(format|complete|num_images): (\w+)$", text, flags=re.MULTILINE))
    if found.get("format") != str(FORMAT) or "num_images" not in found:
        return False, None, f"{file} is damaged, or of a version of cdam_bench that writes another format than {FORMAT}"
    return found.get("complete") == "true", int(found["num_images"]), None


def _images_in_chunks(folder: Path) -> int:
    if not folder.is_dir():
        return 0
    spans = [CHUNK_NAME.fullmatch(path.name) for path in folder.iterdir()]
    return sum(int(span[2]) - int(span[1]) for span in spans if span)


def write_plan(results_dir: Path, keys: Iterable[CellKey], facts: dict[str, Any]) -> None:
    """Write down which cells a sweep is going to run, for `read_status`; the same cells again replace the plan."""
    cells = sorted([key.dataset, key.backbone, key.estimator] for key in keys)
    name = f"plan-{fingerprint({'cells': cells})[:12]}.json"
    write_atomically(results_dir / "sweeps" / name, json.dumps({**facts, "cells": cells}, indent=1).encode())


def planned_cells(results_dir: Path) -> set[CellKey]:
    """The cells of all plans; one that cannot be read is left out."""
    planned = set()
    for file in (results_dir / "sweeps").glob("plan-*.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            planned |= {CellKey(*names) for names in json.loads(file.read_bytes())["cells"]}
    return planned


def status_table(cells: list[CellStatus]) -> str:
    """The status as text: a line per cell, then how many are in which state."""
    if not cells:
        return "no cells yet"
    rows = [("dataset", "backbone", "estimator", "state", "images", "")]
    rows += [(c.dataset, c.backbone, c.estimator, c.state, _images(c), _remark(c)) for c in cells]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = ["  ".join([*(row[i].ljust(widths[i]) for i in range(5)), row[5]]).rstrip() for row in rows]
    counts = ", ".join(f"{n} {state}" for state in STATES if (n := sum(cell.state == state for cell in cells)))
    return "\n".join([*lines, "", f"{len(cells)} cells: {counts}"])


def _images(cell: CellStatus) -> str:
    return "–" if cell.images is None else f"{cell.done}/{cell.images}"


def _remark(cell: CellStatus) -> str:
    if cell.state == RUNNING:
        return ", ".join(f"{job['job'] or job['host']}: shard {job['shard']} of {job['shards']}" for job in cell.jobs)
    if cell.error is None:
        return "every chunk is there: scripts/merge.py finishes it" if _is_whole(cell) else ""
    return f"a later run failed: {cell.error}" if cell.state == DONE else cell.error


def _is_whole(cell: CellStatus) -> bool:
    return cell.state == PARTIAL and cell.done == cell.images
