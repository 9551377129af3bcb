"""For every image of a dataset another one, chosen by the image's seed alone."""

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

from cdam_bench.datasets.samples import Dataset
from cdam_bench.errors import UserError, require

TRIES = 1000  # images looked at for one that shows other classes


def other_images(dataset: Dataset, indices: Sequence[int], seeds: Tensor, other_classes: bool = True) -> Tensor:
    """Another image of the dataset for each image; the choice depends on its seed and on the dataset alone.

    Args:
        dataset: where they come from.
        indices: B places in it.
        seeds: (B,) long, one per image.
        other_classes: only images that share no annotated class with the image; where nothing is annotated, any other image.
    Returns:
        (B, 3, H, W), on the CPU.
    Raises:
        UserError: if there is none.
    """
    pairs = zip(indices, seeds.tolist(), strict=True)
    return torch.stack([_other_image(dataset, index, seed, other_classes) for index, seed in pairs])


def _other_image(dataset: Dataset, index: int, seed: int, other_classes: bool) -> Tensor:
    """Another image (3, H, W) than that at `index`."""
    require(len(dataset) > 1, "fill=other_image: the dataset has one image only: use another fill")
    own = {*dataset[index].targets} if other_classes else set()
    generator = torch.Generator().manual_seed(zlib.crc32(f"other image/{seed}".encode()))
    order = torch.randperm(len(dataset), generator=generator).tolist()
    for place in order[:TRIES]:
        if place == index:
            continue
        sample = dataset[place]
        if not own & {*sample.targets}:
            return sample.image
    raise UserError(
        f"fill=other_image: no image of the dataset shows other classes than image {dataset[index].image_id}: use another fill"
    )
