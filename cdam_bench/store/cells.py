"""Cells: what a run of one (dataset, backbone, estimator) leaves in its folder."""

import io
import json
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from cdam_bench.errors import UserError, require
from cdam_bench.store.chunks import (
    CURVE,
    EXPLAINING,
    IMAGE,
    SECONDS,
    Arrays,
    ChunkFolder,
    Span,
    chunk_ranges,
    concatenate,
)
from cdam_bench.store.columns import Declared
from cdam_bench.store.files import differences, fingerprint, sweep_temporaries, write_atomically
from cdam_bench.store.measured import core_of, unmeasured, wanted
from cdam_bench.store.scores import scores_table

FORMAT = 2
READABLE = (1, 2)  # 1: of version 0.1.0; its complete cells are read, nothing is added to them
SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is ten times as fast


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


def _is_whole(description: Any) -> bool:
    """Whether a cell.yaml says everything that is read from it."""
    kinds = {"complete": bool, "num_images": int, "chunk_size": int, "identity": dict}
    kinds |= {} if description.get("format") == 1 else {"metrics": dict}
    return all(isinstance(description.get(name), kind) for name, kind in kinds.items()) and (
        description["num_images"] > 0 and description["chunk_size"] > 0
    )


def _explaining(arrays: Arrays, spans: list[Span]) -> dict[str, Any]:
    """How long the maps took, apart from the metrics: in all, and for one image the median over chunks, as the first is slow."""
    if EXPLAINING not in arrays:
        return {}
    seconds = arrays[EXPLAINING]
    per_image = np.median(seconds / [stop - start for start, stop in spans])
    return {"explaining": {"seconds": round(float(seconds.sum()), 1), "seconds_per_image": float(f"{per_image:.4g}")}}


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
        if not file.exists():
            return None
        try:
            content = yaml.load(file.read_text(encoding="utf-8"), Loader=SAFE_LOADER)
            known = content["format"] in READABLE
        except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError, KeyError, TypeError):
            content, known = {}, True
        if known:
            require(_is_whole(content), f"{file} is damaged: delete its folder and run the cell again")
            return content
        raise UserError(
            f"{file} was written in format {content['format']} by cdam_bench "
            f"{content.get('versions', {}).get('cdam_bench', 'of another version')}, this one reads formats {READABLE}: "
            "use that version, or another results_dir"
        )

    def open(self, identity: dict[str, Any], details: dict[str, Any], overwrite: bool = False) -> "Cell":
        """Begin or continue the cell, or measure a finished one again.

        Args:
            identity: every setting that the numbers depend on.
            details: what else should be known (versions, device, what the metrics declare, …).
            overwrite: throw away what is there.
        Raises:
            UserError: if results of another configuration are there; of a finished cell, other metrics are no such difference.
        """
        if overwrite and not self._is_begun_by(details.get("job"), identity):
            self._throw_away()
        found = self.description
        if found is None:
            self._describe({"format": FORMAT, "complete": False, **details, "identity": identity})
        else:
            self._require_same(found, identity)
            self.metrics = {**found["identity"].get("metric", {}), **identity.get("metric", {})}
            declared = {**found.get("metrics", {}), **details.get("metrics", {})}
            self.__dict__["description"] = {**details, **found, "metrics": declared}
        self._is_open = True
        return self

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Name → settings of the metrics that the cell has when this run is done: those found in it, and those asked for."""
        return dict(self._opened["identity"].get("metric", {}))

    @property
    def was_finished(self) -> bool:
        """Whether it is complete, or was and is measured again: then only the metrics that it lacks are to be measured."""
        return self.is_complete or bool((self.description or {}).get("measured_again"))

    def has(self, identity: dict[str, Any]) -> bool:
        """Whether everything that `identity` asks for is there; it may be more."""
        found = self._opened["identity"]
        same = all(found.get("metric", {}).get(name) == one for name, one in identity.get("metric", {}).items())
        return self.is_complete and core_of(found) == core_of(identity) and same

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

    def _require_same(self, description: dict[str, Any], identity: dict[str, Any]) -> None:
        """Raise UserError unless a run with `identity` may go on with what `description` describes."""
        found = description["identity"]
        finished = description["complete"] or description.get("measured_again", False)
        may_differ = ("metric",) if finished and description["format"] == FORMAT else ()
        before, after = ({k: v for k, v in one.items() if k not in may_differ} for one in (found, identity))
        if before != after:
            raise UserError(
                f"{self.path} has results of another configuration ({differences(before, after)}): "
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
        found = self._opened
        stamp = found["identity"] if found["format"] == 1 else core_of(found["identity"])
        return ChunkFolder(self.path / "chunks", fingerprint(stamp))

    def ranges(self, shards: int = 1, shard: int = 0) -> list[Span]:
        return chunk_ranges(self.num_images, self.chunk_size, shards, shard)

    def unmeasured(self, span: Span) -> list[str]:
        """Names of the metrics that the chunk of `span` lacks, or holds with other settings."""
        return unmeasured(self.chunks, span, self.metrics)

    def left(self, spans: list[Span]) -> list[Span]:
        """Those of `spans` to work on: without a file, or, in a finished cell that is measured again, without a metric."""
        if not self.was_finished:
            return self.chunks.absent(spans)
        return [span for span in spans if self.unmeasured(span)]

    def read_chunks(self) -> list[Arrays | None]:
        """All chunks in order, None where one is missing or lacks a metric."""
        parts = [self.chunks.read(*span) for span in self.ranges()]
        if self._opened["format"] == 1:
            return parts
        return [None if part is None else wanted(part, self.metrics) for part in parts]

    def finish(self) -> list[Span]:
        """Write scores.csv and curves.npz if every chunk is there and intact.

        Jobs may do so at the same time: they write the same.

        Returns:
            The spans that are missing or damaged; empty: the cell is complete.
        Raises:
            UserError: if a job with another configuration has taken the cell's folder meanwhile.
        """
        opened = {**self._opened, "identity": {**self._opened["identity"], "metric": self.metrics}}
        now = Cell(self.path.parents[3], self.key).description
        self._require_same({**opened, "identity": {}} if now is None else now, opened["identity"])
        parts = self.read_chunks()
        lacking = [span for span, part in zip(self.ranges(), parts, strict=True) if part is None]
        if lacking:
            return lacking
        arrays = concatenate([part for part in parts if part is not None])
        if self.is_complete:  # measured again: while its files are replaced, it is not finished
            self._describe({**opened, "complete": False, "measured_again": True})
        write_atomically(self.path / "scores.csv", scores_table(arrays).to_csv(index=False).encode())
        curves = {name.removeprefix(CURVE): values for name, values in arrays.items() if name.startswith(CURVE)}
        declared = Declared.of(opened["metrics"]).curves
        axes = {curve.name: curve.axes for own in declared.values() for curve in own}
        buffer = io.BytesIO()
        members: Any = {"image": arrays[IMAGE], "axes": np.array(json.dumps(axes)), **curves}
        np.savez_compressed(buffer, **members)
        write_atomically(self.path / "curves.npz", buffer.getvalue())
        times = {"seconds": round(float(arrays[SECONDS].sum()), 1), **_explaining(arrays, self.ranges())}
        opened.pop("measured_again", None)
        self._describe({**opened, "complete": True, **times})
        sweep_temporaries(path for folder in (self.path, self.chunks.path) for path in folder.iterdir())
        return []
