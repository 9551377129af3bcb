"""Datasets: images with their target classes."""

from cdam_bench.datasets.cifar10_scenes import Cifar10, Cifar10Grid
from cdam_bench.datasets.digits import DigitScenes
from cdam_bench.datasets.image_folder import ImageFolder
from cdam_bench.datasets.imagenet import ImageNetMulti, ImageNetRandom
from cdam_bench.datasets.preprocessing import Preprocessing
from cdam_bench.datasets.samples import Batch, Dataset, Sample, batches, collate

__all__ = [
    "Batch",
    "Cifar10",
    "Cifar10Grid",
    "Dataset",
    "DigitScenes",
    "ImageFolder",
    "ImageNetMulti",
    "ImageNetRandom",
    "Preprocessing",
    "Sample",
    "batches",
    "collate",
]
