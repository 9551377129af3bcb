"""Run a command, or the function behind it, in this process."""

import sys
from collections.abc import Callable

import pytest

from cdam_bench.cli import main
from cdam_bench.cli.app import run


def command(*words: str) -> int:
    """`cdam-bench <words>`; returns the exit status."""
    return _exit_status(["cdam-bench", *words], lambda: main(list(words)))


def run_script(task: Callable, config_name: str, *overrides: str) -> int:
    """A function with its configuration, conf/<config_name>.yaml; returns the exit status."""
    return _exit_status([config_name, *overrides], lambda: run(task, config_name))


def _exit_status(arguments: list[str], work: Callable[[], object]) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        try:
            work()
        except SystemExit as exit_:
            return int(exit_.code or 0)
    return 0
