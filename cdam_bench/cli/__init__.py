"""The command line: commands, one-line errors, signals, devices, and what a sweep reports."""

from cdam_bench.cli.commands import main, script

__all__ = ["main", "script"]
