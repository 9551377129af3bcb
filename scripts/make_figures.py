"""Curves and maps of a results folder as PNG and PDF: `python scripts/make_figures.py`; the same as `cdam-bench figures`."""

from cdam_bench.cli import script

if __name__ == "__main__":
    script("figures")
