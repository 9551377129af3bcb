"""How often a concept's map points at the right digit: `python scripts/measure_concepts.py`; see docs/concepts.md;
the same as `cdam-bench measure concepts`."""

from cdam_bench.cli import script

if __name__ == "__main__":
    script("measure concepts")
