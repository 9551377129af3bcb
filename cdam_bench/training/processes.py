"""The processes that train together, started by torchrun."""

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Processes:
    """This process among those of torchrun; alone without it.

    Args:
        rank, count: number of this process, and of all.
        device: that it computes on.
    """

    rank: int
    count: int
    device: torch.device

    @classmethod
    def join(cls, device: str) -> "Processes":
        """Meet the other processes; "auto" gives each its own GPU."""
        rank, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if device == "auto":
            local = int(os.environ.get("LOCAL_RANK", 0))
            device = f"cuda:{local}" if torch.cuda.is_available() else "cpu"
        if count > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        return cls(rank, count, torch.device(device))

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Sum of a tensor over all processes."""
        if self.count > 1:
            dist.all_reduce(values)
        return values
