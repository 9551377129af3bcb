"""Explain a picture, or a folder of them: `python scripts/explain.py image=picture.jpg target=zebra`;
the same as `cdam-bench explain`."""

from cdam_bench.cli import script

if __name__ == "__main__":
    script("explain")
