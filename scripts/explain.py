"""Explain a picture, or a folder of them: `python scripts/explain.py image=picture.jpg target=zebra`."""

from cdam_bench.explaining.command import main

if __name__ == "__main__":
    main()
