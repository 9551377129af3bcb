"""Choose the ImageNet images that show two different objects: `python scripts/select_imagenet_multi.py`."""

from cdam_bench.cli import run
from cdam_bench.datasets.multi_object import select_imagenet_multi

if __name__ == "__main__":
    run(select_imagenet_multi, "select_imagenet_multi")
