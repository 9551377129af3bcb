"""`python -m cdam_bench`: run one cell, or with -m a sweep of them; the same as `cdam-bench run`."""

import sys

from cdam_bench.cli.commands import BY_NAME
from cdam_bench.cli.program import start


def main() -> None:
    start(BY_NAME["run"], sys.argv[1:])


if __name__ == "__main__":
    main()
