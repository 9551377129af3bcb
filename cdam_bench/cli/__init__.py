"""The command line: commands, one-line errors, signals, devices, and what a sweep reports."""

from cdam_bench.cli.program import main, script

__all__ = ["main", "script"]
