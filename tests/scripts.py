"""Run a script's entry point in this process."""

import sys
from collections.abc import Callable

import pytest

from cdam_bench.cli.app import run


def run_script(task: Callable, config_name: str, *overrides: str) -> int:
    """`python scripts/<config_name>.py <overrides>`; returns the exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [config_name, *overrides])
        try:
            run(task, config_name)
        except SystemExit as exit_:
            return int(exit_.code or 0)
    return 0
