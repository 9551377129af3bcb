"""Digit scenes: real handwritten digits on cluttered coloured backgrounds, generated from a seed.

The digits are scikit-learn's (1797 real 8×8 scans, Alpaydin & Kaynak 1998), so nothing is downloaded. A scene holds one digit,
or several of different classes, at random places and sizes; the digits of test scenes never occur in training scenes.
The pictures are smooth on purpose (no per-pixel noise): blurring a part of one must be a perturbation, not a giveaway.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cdam_bench.datasets.drawn import DrawnScenes
from cdam_bench.datasets.preprocessing import Preprocessing
from cdam_bench.datasets.samples import Sample
from cdam_bench.errors import require

SIDE = 64  # of a scene, in pixels
CLASS_NAMES = tuple(str(digit) for digit in range(10))
SPLITS = ("train", "test")
DIGIT_SIDES = (22, 34)  # of a pasted digit, in pixels
NUM_SHAPES = 5  # of clutter


@lru_cache
def glyphs(split: str) -> tuple[Tensor, Tensor]:
    """The digits of a split: images (n, 8, 8) in [0, 1] and labels (n,); 70 % train, 30 % test, stratified."""
    # imported here: two seconds that nothing else needs
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    scans, labels = load_digits(return_X_y=True)
    parts = train_test_split(scans, labels, test_size=0.3, stratify=labels, random_state=0)
    images, labels = (parts[0], parts[2]) if split == "train" else (parts[1], parts[3])
    return torch.from_numpy(images).float().reshape(-1, 8, 8) / 16, torch.from_numpy(labels)


class DigitScenes(DrawnScenes):
    """Scenes of `num_objects` digits of different classes, as a dataset.

    Args:
        num_objects: digits per scene: 1 or 2.
        num_images: scenes in the dataset.
        seed: scene i depends on (seed, split, num_objects, i) alone.
        split: "train" or "test": which digits are pasted.
        preprocessing: how the 64×64 picture becomes the backbone's input.
        annotated: give the classes as targets (one object or more); if not, the predicted class is the target.
    Raises:
        UserError: for numbers that cannot be, and at a scene of which the preprocessing cuts a digit off.
    """

    class_names = CLASS_NAMES

    def __init__(
        self,
        num_objects: int,
        preprocessing: Preprocessing,
        num_images: int = 100,
        seed: int = 0,
        split: str = "test",
        annotated: bool = True,
    ) -> None:
        require(num_objects in (1, 2), f"num_objects={num_objects}: a scene has room for 1 or 2 digits")
        require(isinstance(annotated, bool), f"annotated={annotated}: must be true or false")
        super().__init__(preprocessing, num_images, seed)
        require(split in SPLITS, f"split={split} is unknown: use one of {', '.join(SPLITS)}")
        self.num_objects, self.split, self.annotated = num_objects, split, annotated

    def draw(self, index: int) -> Sample:
        pictures, classes, boxes = render_scenes([(self.seed, index)], self.num_objects, self.split)
        return Sample(
            image_id=f"{self.split}-{self.num_objects}-{self.seed}-{index:05d}",
            image=self.preprocessing(pictures[0]),
            targets=tuple(classes[0].tolist()) if self.annotated else (),
            boxes=self.preprocessing.placement(SIDE, SIDE).boxes(boxes[0]),
        )


def render_scenes(
    seeds: Sequence[tuple[int, ...]], num_objects: int, split: str, clutter: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw one scene per seed.

    Args:
        seeds: B tuples of non-negative numbers; a scene depends on its own alone.
        num_objects: digits per scene.
        split: "train" or "test".
        clutter: 1 for the scenes of the datasets; towards 0 the background becomes plain (for the start of training).
    Returns:
        pictures (B, 3, 64, 64) in [0, 1], 8-bit values; classes (B, num_objects);
        boxes (B, num_objects, 4) long: [top, left, bottom, right) of the visible digit.
    """
    _, labels = glyphs(split)
    key = [SPLITS.index(split), num_objects]
    plans = [_plan_scene(np.random.default_rng([*key, *seed]), num_objects, labels.numpy(), clutter) for seed in seeds]
    stacked = {name: torch.from_numpy(np.stack([plan[name] for plan in plans])) for name in plans[0]}
    pictures = _paint_background(stacked)
    alphas = _glyph_masks(stacked, split)  # (B, K, 64, 64)
    for k in range(num_objects):
        alpha = alphas[:, k, None]
        pictures = pictures * (1 - alpha) + stacked["ink"][:, k, :, None, None] * alpha
    pictures = (pictures.clamp(0, 1) * 255).round() / 255
    return pictures, labels[stacked["glyph"]], _boxes_of(alphas > 0.5)


def _plan_scene(
    rng: np.random.Generator, num_objects: int, labels: np.ndarray, clutter: float
) -> dict[str, np.ndarray]:
    """Everything random about one scene."""
    glyph = rng.integers(len(labels), size=num_objects)
    while len(set(labels[glyph])) < num_objects:
        glyph = rng.integers(len(labels), size=num_objects)
    while True:  # places: squares that do not overlap
        side = rng.uniform(*DIGIT_SIDES, size=num_objects)
        corner = rng.uniform(0, SIDE - side, size=(2, num_objects)).T  # (K, 2): top, left
        gaps = [
            np.maximum(corner[i] - corner[j] - side[j], corner[j] - corner[i] - side[i]).max()
            for i in range(num_objects)
            for j in range(i)
        ]
        if all(gap >= 0 for gap in gaps):
            break
    # bright ink on darker ground, so that a digit can always be seen
    colours = clutter * rng.uniform(0, rng.uniform(0.25, 0.6), size=(3, 4, 4))
    ink = rng.uniform(0.5, 1.0, size=(num_objects, 3))
    ink[np.arange(num_objects), rng.integers(3, size=num_objects)] = 1.0
    return {
        "glyph": glyph,
        "side": side.astype(np.float32),
        "centre": (corner + side[:, None] / 2).astype(np.float32),
        "angle": rng.uniform(-0.25, 0.25, size=num_objects).astype(np.float32),  # radians
        "aspect": rng.uniform(0.85, 1.15, size=num_objects).astype(np.float32),
        "ink": ink.astype(np.float32),
        "colours": colours.astype(np.float32),
        "shape_centre": rng.uniform(0, SIDE, size=(NUM_SHAPES, 2)).astype(np.float32),
        "shape_axes": rng.uniform((2, 4), (8, 24), size=(NUM_SHAPES, 2)).astype(np.float32),
        "shape_angle": rng.uniform(0, np.pi, size=NUM_SHAPES).astype(np.float32),
        "shape_square": rng.uniform(size=NUM_SHAPES) < 0.5,
        "shape_colour": rng.uniform(0, 0.7, size=(NUM_SHAPES, 3)).astype(np.float32),
        "shape_opacity": (clutter * rng.uniform(0.2, 0.6, size=NUM_SHAPES)).astype(np.float32),
    }


def _rotated_coordinates(centre: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates of every pixel in frames with the given centre (B, M, 2: y, x) and angle (B, M); each (B, M, 64, 64)."""
    pixels = torch.arange(SIDE) + 0.5
    dy = pixels[:, None] - centre[..., 0, None, None]
    dx = pixels[None, :] - centre[..., 1, None, None]
    cos, sin = angle.cos()[..., None, None], angle.sin()[..., None, None]
    return cos * dy - sin * dx, sin * dy + cos * dx


def _paint_background(plan: dict[str, Tensor]) -> Tensor:
    """A smooth colour field with translucent shapes on it: (B, 3, 64, 64)."""
    picture = F.interpolate(plan["colours"], size=(SIDE, SIDE), mode="bicubic", align_corners=False).clamp(0, 1)
    along, across = _rotated_coordinates(plan["shape_centre"], plan["shape_angle"])
    axes, square = plan["shape_axes"][..., None, None], plan["shape_square"][..., None, None]
    along, across = (along / axes[:, :, 0]) ** 2, (across / axes[:, :, 1]) ** 2
    radius = torch.where(square, torch.maximum(along, across), along + across)  # bars and ellipses
    masks = torch.sigmoid((1 - radius) * 6) * plan["shape_opacity"][..., None, None]  # (B, M, 64, 64)
    for m in range(NUM_SHAPES):
        mask = masks[:, m, None]
        picture = picture * (1 - mask) + plan["shape_colour"][:, m, :, None, None] * mask
    return picture


def _glyph_masks(plan: dict[str, Tensor], split: str) -> Tensor:
    """Opacity of every digit at every pixel: (B, K, 64, 64)."""
    images, _ = glyphs(split)
    batch, count = plan["glyph"].shape
    y, x = _rotated_coordinates(plan["centre"], plan["angle"])
    half = plan["side"][..., None, None] / 2
    grid = torch.stack([x / (half * plan["aspect"][..., None, None]), y / half], dim=-1).flatten(0, 1)
    source = images[plan["glyph"]].reshape(batch * count, 1, 8, 8)
    ink = F.grid_sample(source, grid, mode="bicubic", padding_mode="zeros", align_corners=False)
    alpha = ((ink - 0.25) / 0.35).clamp(0, 1)  # crisp strokes from grey scans
    return alpha.reshape(batch, count, SIDE, SIDE)


def _boxes_of(masks: Tensor) -> Tensor:
    """Tight boxes of masks (..., H, W): (..., 4) long, [top, left, bottom, right)."""
    rows, columns = masks.any(-1).long(), masks.any(-2).long()
    side = masks.shape[-1]
    top, left = rows.argmax(-1), columns.argmax(-1)
    bottom, right = side - rows.flip(-1).argmax(-1), side - columns.flip(-1).argmax(-1)
    return torch.stack([top, left, bottom, right], dim=-1)
