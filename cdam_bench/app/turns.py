"""One explanation at a time, each for a limited time."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from contextlib import contextmanager
from typing import Any, TypeVar

from torch.nn.modules.module import register_module_forward_pre_hook

from cdam_bench.errors import UserError, require

GRACE = 2.0  # seconds more for what is no forward pass: reading a file, a download, drawing
T = TypeVar("T")


class TimeOverError(UserError):
    """The time is up."""


class Turns:
    """A thread that does one piece of work after the other.

    Args:
        timeout_s: seconds for each. Work ends at the first layer of a network that is entered later; what enters none, such as a
            download, goes on, but is waited for no longer, and the next piece is refused until it is done.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._pool = ThreadPoolExecutor(1, "explaining")
        self._free = threading.Semaphore()

    def run(self, work: Callable[[], T]) -> T:
        """What `work` returns.

        Raises:
            TimeOverError: when the time is up.
            UserError: if the work before is still not done.
        """
        free = self._free.acquire(timeout=self.timeout_s)
        require(free, "another explanation is still running: try again in a minute")
        future = self._pool.submit(self._timed, work)
        try:
            return future.result(self.timeout_s + GRACE)
        except StillRunning:
            raise time_over(self.timeout_s) from None

    def _timed(self, work: Callable[[], Any]) -> Any:
        try:
            with time_limit(self.timeout_s):
                return work()
        finally:
            self._free.release()

    def close(self) -> None:
        """Let nothing begin any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Inside, in this thread, a layer of a network that is entered after `seconds` raises TimeOverError."""
    end, thread = time.monotonic() + seconds, threading.get_ident()

    def look(module: Any, inputs: Any) -> None:  # noqa: ARG001
        if threading.get_ident() == thread and time.monotonic() > end:
            raise time_over(seconds)

    hook = register_module_forward_pre_hook(look)
    try:
        yield
    finally:
        hook.remove()


def time_over(seconds: float) -> TimeOverError:
    """In one line."""
    return TimeOverError(
        f"this took longer than {seconds:g} s and was stopped: choose fewer or quicker methods, or a smaller backbone"
    )
