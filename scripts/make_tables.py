"""Tables of a results folder as Markdown, CSV and LaTeX: `python scripts/make_tables.py`; the same as `cdam-bench tables`."""

from cdam_bench.cli import script

if __name__ == "__main__":
    script("tables")
