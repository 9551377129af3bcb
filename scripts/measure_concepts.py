"""How often a concept's map points at the right digit: `python scripts/measure_concepts.py`; see docs/concepts.md."""

from cdam_bench.cli import run
from cdam_bench.explaining.pointing import measure_pointing

if __name__ == "__main__":
    run(measure_pointing, "measure_concepts")
