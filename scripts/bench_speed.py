"""Time explanations and perturbations against plain forward passes: `python scripts/bench_speed.py device=cpu|cuda`."""

from cdam_bench.cli import run
from cdam_bench.speed import measure_speed

if __name__ == "__main__":
    run(measure_speed, "bench_speed")
