"""Choose the ImageNet images that show two different objects: `python scripts/select_imagenet_multi.py`;
the same as `cdam-bench prepare imagenet-multi`."""

from cdam_bench.cli import script

if __name__ == "__main__":
    script("prepare imagenet-multi")
