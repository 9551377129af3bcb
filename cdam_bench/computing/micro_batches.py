"""Micro-batches: as many rows at a time as fit into memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from cdam_bench.errors import UserError, require_count

Part = TypeVar("Part")


@dataclass
class MicroBatch:
    """Images in one forward pass; what was once too many stays halved for as long as this object is used."""

    value: int

    def __post_init__(self) -> None:
        self.value = require_count("batch_size", self.value)

    def each(self, count: int, compute: Callable[[slice], Part]) -> Iterator[Part]:
        """`compute` of all `count` rows, as many at a time as fit into memory; one that does not fit is asked for again in halves.

        Raises:
            UserError: if a single row does not fit.
        """
        start = 0
        while start < count:
            stop = min(start + self.value, count)
            try:
                part = compute(slice(start, stop))
            except torch.OutOfMemoryError:
                self.halve()
                continue
            yield part
            start = stop

    def in_parts(self, count: int, compute: Callable[[slice], Tensor]) -> Tensor:
        """`each` of them put together along the first axis."""
        return torch.cat(list(self.each(count, compute)))

    def halve(self) -> None:
        """Half as many from now on; UserError when there is nothing left to halve."""
        if self.value == 1:
            raise UserError(
                "one image does not fit into the device's memory: use a smaller image_size or another device"
            )
        self.value //= 2
        torch.cuda.empty_cache()
