"""What all estimators of a (dataset, backbone) share: computed by whoever needs it first, and kept in the store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from cdam_bench.store.cells import CellKey
from cdam_bench.store.chunks import Arrays, ChunkFolder
from cdam_bench.store.files import fingerprint

COMMON = ("cdam_bench", "dataset", "backbone", "seed", "precision")  # of an identity: what all of it depends on


class SharedResults:
    """Arrays by name and by what else they depend on, chunk by chunk.

    Args:
        results_dir: the store.
        key: any cell of that dataset and backbone.
        identity: of that cell.
    """

    def __init__(self, results_dir: Path, key: CellKey, identity: dict[str, Any]) -> None:
        self.folder = results_dir / "shared" / key.dataset / key.backbone
        self.identity = identity

    def get(
        self, name: str, extra: dict[str, Any], start: int, stop: int, compute: Callable[[], dict[str, Tensor]]
    ) -> Arrays:
        """Arrays `name` of images start … stop − 1: from disk if they are there, else from `compute`."""
        digest = fingerprint({**{part: self.identity[part] for part in COMMON}, **extra})
        chunks = ChunkFolder(self.folder / f"{name}-{digest[:12]}", digest)
        arrays = chunks.read(start, stop)
        if arrays is None:
            arrays = {key: values.float().cpu().numpy() for key, values in compute().items()}
            chunks.write(start, stop, arrays)
        return arrays
