"""Time explanations and perturbations against plain forward passes: `python scripts/bench_speed.py device=cpu|cuda`;
the same as `cdam-bench measure speed`."""

from cdam_bench.cli import script

if __name__ == "__main__":
    script("measure speed")
