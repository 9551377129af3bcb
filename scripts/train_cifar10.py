"""Train the small ViT that explains CIFAR-10 scenes: `python scripts/train_cifar10.py`."""

from cdam_bench.cli import run
from cdam_bench.training.cifar10 import train_cifar10

if __name__ == "__main__":
    run(train_cifar10, "train_cifar10")
