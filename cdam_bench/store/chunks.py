"""Chunks: arrays of consecutive images, one file each, that know whether they are whole and what they belong to."""

import hashlib
import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from cdam_bench.store.files import write_atomically

Arrays = dict[str, np.ndarray]
Span = tuple[int, int]  # images start … stop − 1
SCORE, CURVE, INFO = "score/", "curve/", "info/"  # name spaces inside a chunk
IMAGE, SECONDS = INFO + "image", INFO + "seconds"
EXPLAINING = INFO + "explaining_seconds"  # of the maps alone; chunks of early versions lack it


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
        members: Any = {**arrays, **stamps}
        np.savez(buffer, **members)
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

    def peek(self, start: int, stop: int, name: str) -> np.ndarray | None:
        """One small array of a chunk, without reading and checking the others; None if the chunk or the array is missing."""
        try:
            with np.load(self.file(start, stop), allow_pickle=False) as stored:
                return stored[name] if str(stored["_identity"]) == self.identity else None
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError):
            return None

    def absent(self, spans: Iterable[Span]) -> list[Span]:
        """Those of `spans` that have no file; what is in the files is not looked at."""
        there = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        return [span for span in spans if self.file(*span).name not in there]


def chunk_ranges(num_images: int, chunk_size: int, shards: int = 1, shard: int = 0) -> list[Span]:
    """Ranges [start, stop) of the chunks that one shard takes; chunk i goes to shard i mod shards."""
    starts = range(0, num_images, chunk_size)
    return [(s, min(s + chunk_size, num_images)) for i, s in enumerate(starts) if i % shards == shard]


def concatenate(parts: list[Arrays]) -> Arrays:
    """Chunks in order → arrays over all their images; without the time of the maps, where some lack it."""
    names = [name for name in parts[0] if name != EXPLAINING or all(name in part for part in parts)]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}
