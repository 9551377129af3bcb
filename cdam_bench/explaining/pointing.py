"""How often a concept's map points at the right digit: the concept of a digit, from pictures of it alone, on two-digit scenes."""

import json
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.backbones.heads import SIMILARITIES
from cdam_bench.configs import build_backbone, build_preprocessing
from cdam_bench.datasets import DigitScenes, Preprocessing
from cdam_bench.datasets.concepts import Concepts
from cdam_bench.datasets.digits import CLASS_NAMES
from cdam_bench.errors import require
from cdam_bench.estimators import CDAM, Estimator
from cdam_bench.statistics import holm, paired_p_values, tango_intervals, wilson_intervals
from cdam_bench.store.files import write_atomically

CLASS = "class"
SIGNIFICANCE = 0.05


def points_at(maps: Tensor, boxes: Tensor) -> Tensor:
    """Whether the sum of each map inside its own object's box is larger than inside the other's.

    Args:
        maps: (B, H, W), for the first object.
        boxes: (B, 2, 4) long, [top, left, bottom, right): the first object's, the other's.
    Returns:
        (B,) bool.
    """
    sums = [
        [maps[b, top:bottom, left:right].double().sum() for top, left, bottom, right in boxes[b].tolist()]
        for b in range(len(maps))
    ]
    own, other = torch.tensor(sums).unbind(1)
    return own > other


def example_images(preprocessing: Preprocessing, digit: int, count: int, seed: int) -> Tensor:
    """The first `count` training scenes that show this digit alone: (count, 3, H, W)."""
    singles = DigitScenes(1, preprocessing, num_images=count * 100, seed=seed, split="train")
    found: list[Tensor] = []
    for index in range(len(singles)):
        sample = singles[index]
        if sample.targets == (digit,):
            found.append(sample.image)
        if len(found) == count:
            break
    return torch.stack(found)


def scenes_with(preprocessing: Preprocessing, digit: int, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """The first `count` two-digit test scenes with this digit: images, and boxes (count, 2, 4), this digit's first."""
    scenes = DigitScenes(2, preprocessing, num_images=count * 50, seed=seed, split="test")
    images, boxes = [], []
    for index in range(len(scenes)):
        sample = scenes[index]
        if digit in sample.targets:
            images.append(sample.image)
            assert sample.boxes is not None
            boxes.append(sample.boxes if sample.targets[0] == digit else sample.boxes.flip(0))
        if len(images) == count:
            break
    return torch.stack(images), torch.stack(boxes)


def pointing(
    backbone: Backbone, estimator: Estimator, concepts: Concepts, digit: int, images: Tensor, boxes: Tensor
) -> dict[str, np.ndarray]:
    """Whether the map points at the digit in each scene, for its class and for its concept by each similarity.

    Args:
        backbone: with the digits' class head.
        estimator: makes the maps.
        concepts: whose vector 0 is the digit's.
        digit: its class.
        images, boxes: from `scenes_with`.
    Returns:
        "class" or the name of a similarity → (scenes,) of 0 and 1.
    """
    heads = {CLASS: (backbone, digit)}
    heads |= {name: (backbone.with_head(concepts.head(name)), 0) for name in SIMILARITIES}
    pointed = {}
    for name, (explained, target) in heads.items():
        maps = estimator.attribute(explained, images, torch.full((len(images),), target))
        pointed[name] = points_at(maps.cpu(), boxes).double().numpy()
    return pointed


def differences_from_class(pointed: dict[str, dict[str, np.ndarray]]) -> list[dict[str, str | float]]:
    """Every concept against the class head on the same scenes, all of them tested together.

    Args:
        pointed: digit → what `pointing` says of it.
    Returns:
        A row per digit and similarity: the mean difference with Tango's 95 % interval, and the p-value of McNemar's exact test,
        Holm-corrected over all rows.
    """
    names = [(digit, name) for digit, own in pointed.items() for name in own if name != CLASS]
    gaps = np.stack([pointed[digit][name] - pointed[digit][CLASS] for digit, name in names], 1)
    p_values = holm(paired_p_values(gaps))
    return [
        {"digit": digit, "concept": name, **vars(interval), "p_holm": float(p_value)}
        for (digit, name), interval, p_value in zip(names, tango_intervals(gaps), p_values, strict=True)
    ]


def measure_pointing(config: DictConfig) -> None:
    """Measure every digit that `config` lists, print a table, and write the numbers.

    Args:
        config: composed from conf/scripts/measure_concepts.yaml.
    """
    require(config.num_scenes >= 2, f"num_scenes={config.num_scenes}: an interval needs at least 2")
    backbone, preprocessing = build_backbone(config), build_preprocessing(config)
    rows: dict[str, dict[str, dict[str, float]]] = {}
    pointed: dict[str, dict[str, np.ndarray]] = {}
    print(f"{'digit':<6}{CLASS:>20}" + "".join(f"{name:>20}" for name in SIMILARITIES))
    for digit in config.digits:
        examples = example_images(preprocessing, digit, config.num_examples, config.seed)
        concepts = Concepts.of_images(backbone, {CLASS_NAMES[digit]: examples})
        images, boxes = scenes_with(preprocessing, digit, config.num_scenes, config.seed)
        own = pointed[CLASS_NAMES[digit]] = pointing(backbone, CDAM(), concepts, digit, images, boxes)
        shares = wilson_intervals(np.stack(list(own.values()), 1))
        rows[CLASS_NAMES[digit]] = {name: vars(interval) for name, interval in zip(own, shares, strict=True)}
        cells = [f"{100 * i.mean:.1f} [{100 * i.low:.1f}, {100 * i.high:.1f}]" for i in shares]
        print(f"{CLASS_NAMES[digit]:<6}" + "".join(f"{cell:>20}" for cell in cells), flush=True)
    means = {name: float(np.mean([row[name]["mean"] for row in rows.values()])) for name in (CLASS, *SIMILARITIES)}
    print(f"{'mean':<6}" + "".join(f"{100 * mean:>20.1f}" for mean in means.values()))
    differences = differences_from_class(pointed)
    clear = [f"{one['digit']} {one['concept']}" for one in differences if float(one["p_holm"]) <= SIGNIFICANCE]
    print(
        f"differs from the class head (McNemar, {len(differences)} tests corrected together): {', '.join(clear) or 'none'}"
    )
    written = {"digits": rows, "mean": means, "differences": differences}
    write_atomically(Path(config.output), (json.dumps(written, indent=1) + "\n").encode())
