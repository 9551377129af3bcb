"""Train the linear head of a frozen backbone: `python scripts/train_linear_probe.py backbone=dino_vitb16`."""

from cdam_bench.cli import run
from cdam_bench.training.linear_probe import train_linear_probe

if __name__ == "__main__":
    run(train_linear_probe, "train_linear_probe")
