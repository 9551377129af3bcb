"""Train the small ViT that explains CIFAR-10 scenes: `python scripts/train_cifar10.py`; the same as `cdam-bench train cifar10`."""

from cdam_bench.cli import script

if __name__ == "__main__":
    script("train cifar10")
