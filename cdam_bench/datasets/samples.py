"""Sample and Batch: what every dataset gives, and how samples are put together."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from cdam_bench.errors import require


@dataclass(frozen=True)
class Sample:
    """One image with what is known about it.

    Args:
        image_id: name of the image, unique in its dataset and the same on every machine.
        image: (3, H, W) float32, normalised for the backbone.
        targets: annotated classes whose maps are wanted; empty means "the predicted class".
        boxes: (K, 4) long, [top, left, bottom, right) in pixels, one per target; None if unknown.
        mask: (H, W) bool: the pixels of the object that all targets are about; None if unknown.
    """

    image_id: str
    image: Tensor
    targets: tuple[int, ...] = ()
    boxes: Tensor | None = None
    mask: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """Samples of one dataset with equally many targets.

    Args:
        image_ids: B names.
        images: (B, 3, H, W) float32, normalised.
        targets: (B, K) long; K = 0 means "the predicted class".
        seeds: (B,) long, one per image, from its name and the run's seed alone.
        boxes: (B, K, 4) long, or None.
        masks: (B, H, W) bool, or None.
    """

    image_ids: tuple[str, ...]
    images: Tensor
    targets: Tensor
    seeds: Tensor
    boxes: Tensor | None = None
    masks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.image_ids)


class Dataset(Protocol):
    """What a run needs of a dataset: any class with these is one.

    It may also say `output_kind`, what the outputs are that its targets name: "classes" that compete (if it says nothing),
    "labels" that hold or not, or "quantities".
    """

    class_names: Sequence[str]
    mean: Sequence[float]
    std: Sequence[float]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


def image_seed(image_id: str, seed: int) -> int:
    """Seed of everything random that is done to one image: depends on its name and the run's seed alone."""
    return zlib.crc32(f"{seed}/{image_id}".encode())


def collate(samples: Sequence[Sample], seed: int = 0) -> Batch:
    """Stack samples of equal size and equally many targets into a Batch (on the CPU).

    Raises:
        UserError: if the samples differ in image size or in the number of targets.
    """
    shapes = {tuple(sample.image.shape) for sample in samples}
    require(len(shapes) == 1, f"images of one dataset differ in size ({sorted(shapes)}): give them one image_size")
    counts = {len(sample.targets) for sample in samples}
    require(len(counts) == 1, f"images of one dataset differ in their number of targets ({sorted(counts)})")
    boxes = [sample.boxes for sample in samples if sample.boxes is not None]
    masks = [sample.mask for sample in samples if sample.mask is not None]
    return Batch(
        image_ids=tuple(sample.image_id for sample in samples),
        images=torch.stack([sample.image for sample in samples]),
        targets=torch.tensor([sample.targets for sample in samples], dtype=torch.long).reshape(len(samples), -1),
        seeds=torch.tensor([image_seed(sample.image_id, seed) for sample in samples], dtype=torch.long),
        boxes=torch.stack(boxes) if len(boxes) == len(samples) else None,
        masks=torch.stack(masks) if len(masks) == len(samples) else None,
    )


def batches(dataset: Dataset, size: int, seed: int = 0) -> Iterator[tuple[range, Batch]]:
    """A dataset from first to last in batches of `size`, the last one perhaps smaller, each with its places in the dataset."""
    for start in range(0, len(dataset), size):
        places = range(start, min(start + size, len(dataset)))
        yield places, collate([dataset[place] for place in places], seed)
