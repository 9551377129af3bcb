"""Nodules made by formula, to try everything without a CT scan: `python scripts/make_lidc_phantom.py`."""

from cdam_bench.cli import run
from cdam_bench.lidc.phantom import make_phantom

if __name__ == "__main__":
    run(make_phantom, "make_lidc_phantom")
