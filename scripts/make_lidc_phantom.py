"""Nodules made by formula, to try everything without a CT scan: `python scripts/make_lidc_phantom.py`;
the same as `cdam-bench prepare phantom`."""

from cdam_bench.cli import script

if __name__ == "__main__":
    script("prepare phantom")
