"""One page with the tables and figures of a results folder, and what was run: `python scripts/make_report.py`;
the same as `cdam-bench report`."""

from cdam_bench.cli import script

if __name__ == "__main__":
    script("report")
