"""How far the cells of a results folder are: `python scripts/status.py [results_dir=…] [--json]`;
the same as `cdam-bench status`."""

from cdam_bench.cli import script

if __name__ == "__main__":
    script("status")
