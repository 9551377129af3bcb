"""Train the linear head of a frozen backbone: `python scripts/train_linear_probe.py backbone=dino_vitb16`;
the same as `cdam-bench train probe`."""

from cdam_bench.cli import script

if __name__ == "__main__":
    script("train probe")
