"""What a run does when it is asked to stop: it drops the chunk it is at, and, as a job of submitit, has itself requeued.

| signal | a run of its own | a job on Slurm | a job of `slurm_local` |
|---|---|---|---|
| SIGTERM | ends with status 143 | is requeued, unless Slurm is ending it already | ends with status 143 |
| SIGUSR1, SIGUSR2 | ends with 138 (SIGUSR2: as ever) | is requeued | is started again |

A chunk is dropped and not finished because no one knows how long the machine will wait; nothing else is lost, as every finished
chunk is on the disk.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from cdam_bench.store.heartbeats import job_name

Handler = Callable[[int, FrameType | None], None]
STOPPING = (signal.SIGTERM, signal.SIGUSR1)
OF_SUBMITIT = (signal.SIGUSR2, signal.SIGUSR1)  # which of them it listens to depends on its version


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Within the `with`, SIGTERM and SIGUSR1 end the run as the table above says; in threads nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    requeue = _handler_of_submitit()
    numbers = STOPPING if requeue is None else {*STOPPING, *OF_SUBMITIT}
    before = {number: signal.signal(number, _handler(requeue)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _handler_of_submitit() -> Handler | None:
    """The function that saves this job for another start and requeues it, where submitit started this process."""
    if "SUBMITIT_EXECUTOR" not in os.environ:
        return None
    handlers: list[Any] = [signal.getsignal(number) for number in OF_SUBMITIT]
    return next((one for one in handlers if "requeue" in getattr(one, "__name__", "")), None)


def _handler(requeue: Handler | None) -> Handler:
    def handle(number: int, frame: FrameType | None) -> None:
        for other in {*STOPPING, *(OF_SUBMITIT if requeue else ())}:
            signal.signal(other, signal.SIG_IGN)  # once is enough
        if requeue is not None and not (number == signal.SIGTERM and _is_decided()):
            with suppress(subprocess.CalledProcessError):  # Slurm was faster
                requeue(number, frame)
        _stop(number)

    return handle


def _is_decided() -> bool:
    """Whether it is settled what becomes of a job that gets SIGTERM.

    It is the end where there is no queue. On Slurm the job still counts as running when it is warned (preemption with a grace
    time, `scancel --signal=TERM`); it does not when scancel ends it, or when Slurm itself has put it back into the queue, because
    its node failed or because the cluster requeues what it preempts.
    """
    if os.environ["SUBMITIT_EXECUTOR"] != "slurm":
        return True
    name = (job_name() or "").split()[-1]
    command = ["squeue", "--noheader", "--states=RUNNING", f"--jobs={name}", "--format=%T"]
    try:
        return not subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return True


def _stop(number: int) -> NoReturn:
    name = signal.Signals(number).name
    # not print(): the signal may have come in the middle of one
    os.write(2, f"\nstopped by {name}: the same command continues where this one stopped\n".encode())
    raise SystemExit(128 + number)
