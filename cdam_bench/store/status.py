"""Status: how far the cells of a results folder are, by files, heartbeats, errors and plans; without torch, as it must be quick."""

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cdam_bench.errors import require
from cdam_bench.store.cells import READABLE, CellKey
from cdam_bench.store.files import fingerprint, write_atomically
from cdam_bench.store.heartbeats import clock_of, errors_of, running_jobs

CHUNK_NAME = re.compile(r"(\d+)-(\d+)\.npz")
DONE, RUNNING, FAILED, PARTIAL, MISSING = STATES = ("done", "running", "failed", "partial", "missing")


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
    if found.get("format") not in map(str, READABLE) or "num_images" not in found:
        return (
            False,
            None,
            f"{file} is damaged, or of a version of cdam_bench that writes another format than {READABLE}",
        )
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
        return "every chunk is there: `cdam-bench merge` finishes it" if _is_whole(cell) else ""
    return f"a later run failed: {cell.error}" if cell.state == DONE else cell.error


def _is_whole(cell: CellStatus) -> bool:
    return cell.state == PARTIAL and cell.done == cell.images
