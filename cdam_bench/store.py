"""Results on disk: atomic, resumable, self-describing.

    results/cells/<dataset>/<backbone>/<estimator>/
        cell.yaml      what was run: configuration, versions, device, seconds
        chunks/        images done so far, one .npz per chunk
        scores.csv     a row per image; only when complete
        curves.npz     curves per image and their axes; only when complete
        running/       a heartbeat of every job at work on it, errors/ what made jobs fail (progress.py)
    results/shared/<dataset>/<backbone>/<what>-<fingerprint>/
        chunks of what does not depend on the estimator (plain logits, box responses)

Every file is written under a temporary name, synced and renamed: a reader sees a whole file or none, and renaming is the only
atomic step relied on; there are no locks. Any number of jobs may work on one cell: whoever writes a file last wins, and all write
the same. Chunks carry a checksum and the fingerprint of the configuration they belong to; one that is truncated, altered or of
another configuration counts as missing.
"""

import csv
import hashlib
import io
import json
import os
import shutil
import time
import uuid
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from cdam_bench.errors import UserError

Arrays = dict[str, np.ndarray]
Span = tuple[int, int]  # images start … stop − 1
SCORE, CURVE, INFO = "score/", "curve/", "info/"  # name spaces inside a chunk
IMAGE, SECONDS = INFO + "image", INFO + "seconds"


def write_atomically(path: Path, content: bytes, durable: bool = True) -> None:
    """Replace `path` by `content`, wholly or not at all.

    Args:
        durable: wait until it is on the disk; False for what can be made again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if (
            isinstance(error, OSError) and error.errno is not None and error.filename is None
        ):  # a full disk does not tell which file
            error.filename = str(path)
        raise


LEFT_BEHIND = 3600.0  # seconds after which a temporary file belongs to no job any more


def sweep_temporaries(files: Iterable[Path]) -> int:
    """Delete those of `files` that a killed job left under a temporary name; says how many."""
    swept = 0
    for file in files:
        with suppress(OSError):  # another job may be sweeping, too
            if file.name.endswith(".tmp") and time.time() - file.stat().st_mtime > LEFT_BEHIND:
                file.unlink()
                swept += 1
    return swept


def fingerprint(identity: Mapping[str, Any]) -> str:
    """Digest of a configuration, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _checksum(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}{values.dtype.str}{values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


class ChunkFolder:
    """Arrays of consecutive images, one file per chunk.

    Args:
        path: the folder.
        identity: digest of the configuration; chunks of another one do not count.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path, self.identity = path, identity

    def file(self, start: int, stop: int) -> Path:
        return self.path / f"{start:06d}-{stop:06d}.npz"

    def write(self, start: int, stop: int, arrays: Arrays) -> None:
        """Save the arrays of images start … stop − 1."""
        stamps = {"_checksum": np.array(_checksum(arrays)), "_identity": np.array(self.identity)}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays, **stamps)
        write_atomically(self.file(start, stop), buffer.getvalue())

    def read(self, start: int, stop: int) -> Arrays | None:
        """The arrays of a chunk, or None if it is missing, damaged, or of another configuration."""
        try:
            with np.load(self.file(start, stop), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError):
            return None
        checksum, identity = arrays.pop("_checksum", None), arrays.pop("_identity", None)
        intact = checksum is not None and str(checksum) == _checksum(arrays) and str(identity) == self.identity
        return arrays if intact else None

    def absent(self, spans: Iterable[Span]) -> list[Span]:
        """Those of `spans` that have no file; what is in the files is not looked at."""
        there = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        return [span for span in spans if self.file(*span).name not in there]


def chunk_ranges(num_images: int, chunk_size: int, shards: int = 1, shard: int = 0) -> list[Span]:
    """Ranges [start, stop) of the chunks that one shard takes; chunk i goes to shard i mod shards."""
    starts = range(0, num_images, chunk_size)
    return [(s, min(s + chunk_size, num_images)) for i, s in enumerate(starts) if i % shards == shard]


@dataclass(frozen=True)
class CellKey:
    """The names of a cell, as they stand in paths and tables."""

    dataset: str
    backbone: str
    estimator: str

    def folder(self, results_dir: Path) -> Path:
        return results_dir / "cells" / self.dataset / self.backbone / self.estimator

    def __str__(self) -> str:
        return f"{self.dataset} · {self.backbone} · {self.estimator}"


class Cell:
    """The folder of one cell.

    Args:
        results_dir: the store.
        key: which cell.
    """

    def __init__(self, results_dir: Path, key: CellKey) -> None:
        self.key = key
        self.path = key.folder(results_dir)
        self._is_open = False

    @cached_property
    def description(self) -> dict[str, Any] | None:
        """What cell.yaml says, or None if there is no cell.

        Raises:
            UserError: if cell.yaml is damaged.
        """
        file = self.path / "cell.yaml"
        if not file.is_file():
            return None
        try:
            content = yaml.load(file.read_text(encoding="utf-8"), Loader=SAFE_LOADER)
            if content["format"] == FORMAT and isinstance(content["identity"], dict):
                return content
        except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError):
            raise UserError(f"{file} is damaged: delete its folder and run the cell again") from None
        raise UserError(
            f"{file} was written in format {content['format']} by cdam_bench "
            f"{content.get('versions', {}).get('cdam_bench', 'of another version')}, this one reads format {FORMAT}: "
            "use that version, or another results_dir"
        )

    def open(self, identity: dict[str, Any], details: dict[str, Any], overwrite: bool = False) -> "Cell":
        """Begin or continue the cell.

        Args:
            identity: every setting that the numbers depend on.
            details: what else should be known (versions, device, …).
            overwrite: throw away what is there.
        Raises:
            UserError: if results of another configuration are there.
        """
        if overwrite and not self._is_begun_by(details.get("job"), identity):
            self._throw_away()
        found = self.description
        if found is None:
            self._describe({"format": FORMAT, "complete": False, **details, "identity": identity})
        else:
            self._require_same(found["identity"], identity)
            self.__dict__["description"] = {**details, **found}
        self._is_open = True
        return self

    def _is_begun_by(self, job: str | None, identity: dict[str, Any]) -> bool:
        """Whether this very job began it before it was interrupted and started again: then it must not lose its own results."""
        if job is None or not (self.path / "cell.yaml").is_file():
            return False
        with suppress(UserError):
            return self._opened.get("job") == job and self._opened["identity"] == identity
        return False

    def _throw_away(self) -> None:
        """Delete the folder; it is renamed first, so that no one sees half of it."""
        if self.path.exists():
            doomed = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}.tmp")
            self.path.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
        self.__dict__.pop("description", None)

    def _require_same(self, found: dict[str, Any], identity: dict[str, Any]) -> None:
        if found != identity:
            raise UserError(
                f"{self.path} has results of another configuration ({differences(found, identity)}): "
                "add overwrite=true to replace them, or choose another results_dir"
            )

    @property
    def is_open(self) -> bool:
        """Whether it was begun here, or found with the configuration asked for."""
        return self._is_open

    def _describe(self, description: dict[str, Any]) -> None:
        text = yaml.safe_dump(description, sort_keys=False, allow_unicode=True)
        write_atomically(self.path / "cell.yaml", text.encode())
        self.__dict__["description"] = description

    @property
    def is_complete(self) -> bool:
        found = self.description
        return found is not None and bool(found["complete"])

    @property
    def num_images(self) -> int:
        """Images the cell has when complete."""
        return self._opened["num_images"]

    @property
    def chunk_size(self) -> int:
        """Images per chunk: as the cell was begun, whatever a later run asks for."""
        return self._opened["chunk_size"]

    @property
    def _opened(self) -> dict[str, Any]:
        assert self.description is not None, "open the cell first"
        return self.description

    @property
    def chunks(self) -> ChunkFolder:
        return ChunkFolder(self.path / "chunks", fingerprint(self._opened["identity"]))

    def ranges(self, shards: int = 1, shard: int = 0) -> list[Span]:
        return chunk_ranges(self.num_images, self.chunk_size, shards, shard)

    def read_chunks(self) -> list[Arrays | None]:
        """All chunks in order, None where one is missing."""
        chunks = self.chunks
        return [chunks.read(*span) for span in self.ranges()]

    def finish(self, axes: dict[str, Any] | None = None) -> list[Span]:
        """Write scores.csv and curves.npz if every chunk is there and intact.

        Jobs may do so at the same time: they write the same.

        Args:
            axes: of the curves; None: as they were given when the cell was opened.
        Returns:
            The spans that are missing or damaged; empty: the cell is complete.
        Raises:
            UserError: if a job with another configuration has taken the cell's folder meanwhile.
        """
        now = Cell(self.path.parents[3], self.key).description
        self._require_same({} if now is None else now["identity"], self._opened["identity"])
        parts = self.read_chunks()
        lacking = [span for span, part in zip(self.ranges(), parts, strict=True) if part is None]
        if lacking:
            return lacking
        arrays = concatenate([part for part in parts if part is not None])
        write_atomically(self.path / "scores.csv", scores_table(arrays).to_csv(index=False).encode())
        curves = {name.removeprefix(CURVE): values for name, values in arrays.items() if name.startswith(CURVE)}
        axes = self._opened["axes"] if axes is None else axes
        buffer = io.BytesIO()
        np.savez_compressed(buffer, image=arrays[IMAGE], axes=np.array(json.dumps(axes)), **curves)
        write_atomically(self.path / "curves.npz", buffer.getvalue())
        seconds = round(float(arrays[SECONDS].sum()), 1)
        self._describe({**self._opened, "complete": True, "seconds": seconds, "axes": axes})
        sweep_temporaries(path for folder in (self.path, self.chunks.path) for path in folder.iterdir())
        return []


FORMAT = 1
SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is ten times as fast
TEXT_COLUMNS = ("image", "target", "other")


def concatenate(parts: list[Arrays]) -> Arrays:
    """Chunks in order → arrays over all their images."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def scores_table(arrays: Arrays) -> pd.DataFrame:
    """One row per image: its name, its targets and every score."""
    columns: dict[str, np.ndarray] = {"image": arrays[IMAGE]}
    for name, values in arrays.items():
        if name.startswith(INFO) and name not in (IMAGE, SECONDS):
            columns[name.removeprefix(INFO)] = values
    for name, values in arrays.items():
        if name.startswith(SCORE):
            columns[name.removeprefix(SCORE)] = values
    return pd.DataFrame(columns)


@dataclass(frozen=True)
class CellResult:
    """What a cell has to show so far.

    Args:
        key: its names.
        description: cell.yaml.
        scores: a row per image done.
        num_images: images the complete cell has.
        path: its folder.
    """

    key: CellKey
    description: dict[str, Any]
    scores: pd.DataFrame
    num_images: int
    path: Path

    @property
    def is_complete(self) -> bool:
        return bool(self.description["complete"])

    def curves(self) -> tuple[Arrays, dict[str, Any]]:
        """Curves of a complete cell (name → (images, …)) and their axes (name of a curve → axis → values)."""
        with np.load(self.path / "curves.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        axes = json.loads(str(arrays.pop("axes")))
        arrays.pop("image")
        return arrays, axes


def cell_keys(results_dir: Path) -> list[CellKey]:
    """Every cell that was begun, in the order of their names."""
    files = (results_dir / "cells").glob("[!.]*/[!.]*/[!.]*/cell.yaml")
    return [CellKey(*file.parent.parts[-3:]) for file in sorted(files)]


def read_cells(results_dir: Path) -> list[CellResult]:
    """Every cell of a store that has at least one image done, in the order of their names."""
    results = []
    for key in cell_keys(results_dir):
        cell = Cell(results_dir, key)
        description = cell.description
        if description is None:
            continue
        if cell.is_complete:
            scores = read_scores(cell.path / "scores.csv")
        else:
            parts = [part for part in cell.read_chunks() if part is not None]
            if not parts:
                continue
            scores = scores_table(concatenate(parts))
        results.append(CellResult(key, description, scores, cell.num_images, cell.path))
    return results


def read_scores(path: Path) -> pd.DataFrame:
    """scores.csv; names are text, also where they look like numbers or like "NA". (pandas' reader takes five times as long.)"""
    with path.open(newline="", encoding="utf-8") as file:
        heading, *rows = csv.reader(file)
    columns = zip(*rows, strict=True) if rows else [()] * len(heading)
    return pd.DataFrame({name: _read_column(name, values) for name, values in zip(heading, columns, strict=True)})


def _read_column(name: str, texts: Sequence[str]) -> list[str] | np.ndarray:
    if name in TEXT_COLUMNS:
        return list(texts)
    try:
        if "" in texts:  # what is not defined for an image
            texts = [text or "nan" for text in texts]
        return np.array(list(map(float, texts)))
    except ValueError:
        return list(texts)


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings → {"a.b": value}."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def differences(old: Mapping[str, Any], new: Mapping[str, Any], most: int = 5) -> str:
    """The settings in which two configurations differ, as `key: old → new`."""
    before, after = flatten(old), flatten(new)
    changed = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
    shown = [f"{key}: {before.get(key, 'unset')} → {after.get(key, 'unset')}" for key in changed[:most]]
    more = [f"{len(changed) - most} more"] if len(changed) > most else []
    return ", ".join(shown + more)
