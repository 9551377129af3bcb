"""`python -m cdam_bench`: run one cell, or with -m a sweep of them."""

from cdam_bench.cli import run
from cdam_bench.runner import run_cell


def main() -> None:
    run(run_cell, "config")


if __name__ == "__main__":
    main()
