"""Train the small ViT that explains digit scenes offline: `python scripts/train_digits.py`;
the same as `cdam-bench train digits`."""

from cdam_bench.cli import script

if __name__ == "__main__":
    script("train digits")
