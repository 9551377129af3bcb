"""Train the small ViT that explains digit scenes offline: `python scripts/train_digits.py`."""

from cdam_bench.cli import run
from cdam_bench.training.digits import train_digits

if __name__ == "__main__":
    run(train_digits, "train_digits")
