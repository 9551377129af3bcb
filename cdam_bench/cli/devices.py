"""One process per device: which GPUs a sweep may use on this machine, and which of them a process takes."""

import fcntl
import os
import tempfile
from functools import lru_cache
from pathlib import Path

from omegaconf import OmegaConf

USABLE = "CDAM_BENCH_DEVICES"  # the sweep's own CUDA_VISIBLE_DEVICES, for its jobs: submitit overwrites theirs


def num_devices() -> int:
    """How many processes a sweep runs at once: one per visible GPU; one without any. Its jobs are told which GPUs they are."""
    devices = _usable()
    os.environ[USABLE] = ",".join(devices)
    return max(1, len(devices))


def _usable() -> list[str]:
    listed = os.environ.get(USABLE, os.environ.get("CUDA_VISIBLE_DEVICES"))
    if listed is None:
        import torch

        return [str(index) for index in range(torch.cuda.device_count())]
    return [name for name in listed.split(",") if name]


def take_own_device() -> None:
    """In a process of a sweep over devices, make its own GPU the only one that torch sees."""
    if USABLE in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = own_device()


@lru_cache(maxsize=1)
def own_device() -> str:
    """The GPU that this process takes for as long as it lives; "" where there is none.

    The first one that no other process of this machine and user has taken. The lock is on a file in the machine's temporary
    folder, so the kernel gives the GPU back however the process ends. When all are taken, the first one is shared.
    """
    devices = [name for name in os.environ.get(USABLE, "").split(",") if name]
    for device in devices:
        path = Path(tempfile.gettempdir()) / f"cdam_bench-{os.getuid()}-cuda-{device.replace('/', '_')}.lock"
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # kept open: held until the process ends
            return device
        except BlockingIOError:
            os.close(lock)
    return devices[0] if devices else ""


OmegaConf.register_new_resolver("num_devices", num_devices, replace=True)
