"""Finish the cells whose chunks are all there: `python scripts/merge.py [results_dir=…] [sources=[…]]`;
the same as `cdam-bench merge`."""

from cdam_bench.cli import script

if __name__ == "__main__":
    script("merge")
