"""Scenes of CIFAR-10 photographs on 64×64 pixels: one photograph in a quadrant, or four of different classes.

Every photograph keeps its 32×32 pixels and fills one of the four quadrants, in both kinds of scene: a single is a mosaic with three
quadrants left empty, so one network reads both. What is empty is a smooth field of random colours: it says nothing about
the class, and is not zero after normalisation, where input × gradient methods would be zero by construction.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cdam_bench.datasets.cifar10 import CLASS_NAMES, SIDE, load_photographs
from cdam_bench.datasets.drawn import DrawnScenes
from cdam_bench.datasets.preprocessing import Preprocessing
from cdam_bench.datasets.samples import Sample
from cdam_bench.errors import require

CANVAS = 2 * SIDE  # side of a scene, in pixels
QUADRANTS = 4  # in reading order
NUM_TARGETS = 2  # of a mosaic
COLOURS = (0.25, 0.75)  # range of the background's random colours
COLOUR_GRID = (3, 4, 4)  # channels, rows, columns of random colours in one background


def mosaics(photographs: Tensor) -> Tensor:
    """Four photographs each, in reading order, (B, 4, 3, h, h) of any type → scenes (B, 3, 2h, 2h)."""
    batch, _, channels, side, _ = photographs.shape
    grid = photographs.reshape(batch, 2, 2, channels, side, side)  # (B, row, column, 3, h, h)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels, 2 * side, 2 * side)


def singles(photographs: Tensor, quadrants: Tensor, backgrounds: Tensor) -> Tensor:
    """Put photographs into one quadrant of a background each.

    Args:
        photographs: (B, 3, h, h).
        quadrants: (B,) long in 0 … 3, in reading order.
        backgrounds: (B, 3, 2h, 2h), of the photographs' type and range.
    Returns:
        Scenes (B, 3, 2h, 2h).
    """
    side = photographs.shape[-1]
    tiled = photographs.repeat(1, 1, 2, 2)
    own = torch.arange(QUADRANTS, device=quadrants.device) == quadrants[:, None]  # (B, 4)
    mask = own.reshape(-1, 1, 2, 2).repeat_interleave(side, 2).repeat_interleave(side, 3)
    return torch.where(mask, tiled, backgrounds)


def backgrounds_of(colours: Tensor) -> Tensor:
    """Random colours (B, 3, 4, 4) in [0, 1] → smooth fields (B, 3, 64, 64) of 8-bit values in [0, 1]."""
    fields = F.interpolate(colours, size=(CANVAS, CANVAS), mode="bicubic", align_corners=False)
    return (fields.clamp(0, 1) * 255).round() / 255


def quadrant_boxes() -> Tensor:
    """Where the quadrants are: (4, 4) long, [top, left, bottom, right) in pixels."""
    corners = torch.cartesian_prod(torch.tensor([0, SIDE]), torch.tensor([0, SIDE]))
    return torch.cat([corners, corners + SIDE], dim=1)


class Cifar10(DrawnScenes):
    """One test photograph in a quadrant of a smooth background; the predicted class is explained.

    Args:
        data_dir: see `load_photographs`.
        preprocessing: how the 64×64 picture becomes the backbone's input.
        num_images: scenes in the dataset; no photograph comes twice.
        seed: photograph, quadrant and background of scene i depend on (seed, i) alone.
        annotated: give the photograph's class as target; if not, the predicted class is the target.
    Raises:
        UserError: for numbers that cannot be, and where the photographs are neither there nor to be had.
    """

    class_names = CLASS_NAMES

    def __init__(
        self,
        data_dir: str | Path,
        preprocessing: Preprocessing,
        num_images: int = 300,
        seed: int = 0,
        annotated: bool = False,
    ) -> None:
        super().__init__(preprocessing, num_images, seed)
        self.photographs = load_photographs(data_dir, "test")
        available = len(self.photographs.labels)
        require(num_images <= available, f"num_images={num_images}: there are {available} photographs")
        self.order = np.random.default_rng(seed).permutation(available)
        self.annotated = annotated

    def draw(self, index: int) -> Sample:
        rng = np.random.default_rng([self.seed, index])
        place = self.order[index]
        quadrant = int(rng.integers(QUADRANTS))
        colours = torch.from_numpy(rng.uniform(*COLOURS, size=COLOUR_GRID)).float()
        photograph = self.photographs.images[place, None] / 255
        picture = singles(photograph, torch.tensor([quadrant]), backgrounds_of(colours[None]))[0]
        return Sample(
            image_id=f"{self.seed}-{index:05d}-{self.photographs.names[place]}",
            image=self.preprocessing(picture),
            targets=(int(self.photographs.labels[place]),) if self.annotated else (),
            boxes=self.preprocessing.placement(CANVAS, CANVAS).boxes(quadrant_boxes()[[quadrant]]),
        )


class Cifar10Grid(DrawnScenes):
    """Mosaics of four test photographs of four different classes, two of which are the targets.

    Args:
        data_dir: see `load_photographs`.
        preprocessing: how the 64×64 picture becomes the backbone's input.
        num_images: mosaics in the dataset.
        seed: mosaic i depends on (seed, i) alone.
    Raises:
        UserError: for numbers that cannot be, and where the photographs are neither there nor to be had.
    Source: after the grid pointing game of Böhle et al. 2021, with test photographs chosen at random.
    """

    class_names = CLASS_NAMES

    def __init__(
        self, data_dir: str | Path, preprocessing: Preprocessing, num_images: int = 300, seed: int = 0
    ) -> None:
        super().__init__(preprocessing, num_images, seed)
        self.photographs = load_photographs(data_dir, "test")

    def draw(self, index: int) -> Sample:
        rng = np.random.default_rng([self.seed, index])
        classes = rng.permutation(len(CLASS_NAMES))[:QUADRANTS]
        per_class = len(self.photographs.labels) // len(CLASS_NAMES)
        places = classes * per_class + rng.integers(
            per_class, size=QUADRANTS
        )  # photographs are in order of their class
        quadrants = rng.permutation(QUADRANTS)[:NUM_TARGETS]
        return Sample(
            image_id=f"{self.seed}-{index:05d}",
            image=self.preprocessing(mosaics(self.photographs.images[places][None])[0] / 255),
            targets=tuple(classes[quadrants].tolist()),
            boxes=self.preprocessing.placement(CANVAS, CANVAS).boxes(quadrant_boxes()[quadrants]),
        )
