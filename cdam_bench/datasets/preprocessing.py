"""Preprocessing: how pictures become the input of a backbone, where datasets look for it."""

from cdam_bench.backbones.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Preprocessing"]
