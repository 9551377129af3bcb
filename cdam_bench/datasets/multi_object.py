"""Choose the validation images that show two different objects; the result is a manifest that every user shares."""

import csv
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig

from cdam_bench.datasets.class_similarity import save_similarity
from cdam_bench.datasets.imagenet_classes import NUM_CLASSES, class_names, real_labels, validation_names
from cdam_bench.errors import UserError, require

FIELDS = ("file", "class_a", "class_b", "name_a", "name_b", "similarity")


@dataclass(frozen=True)
class Entry:
    """A row of the manifest.

    Args:
        file: name of the image.
        classes: indices of the two objects' classes, ascending.
        similarity: of the two classes' names.
    """

    file: str
    classes: tuple[int, int]
    similarity: float


def shuffled(names: Sequence[str], seed: int) -> list[str]:
    """Names in an order that depends on (seed, name) alone: no library's random stream, the same for every subset."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())


def different_objects(labels: Sequence[Sequence[int]], similarity: np.ndarray, threshold: float) -> list[Entry]:
    """The images with two labels whose names are less alike than the threshold; of several pairs, the least alike.

    Args:
        labels: class indices of the 50,000 validation images, in order of file name.
        similarity: (1000, 1000) of the class names.
        threshold: pairs at or above it are taken for two names of one object.
    """
    entries = []
    for name, listed in zip(validation_names(), labels, strict=True):
        pairs = [(float(similarity[pair]), pair) for pair in combinations(sorted(set(listed)), 2)]
        if pairs and min(pairs)[0] < threshold:
            least, pair = min(pairs)
            entries.append(Entry(name, pair, least))
    return entries


def draw(entries: Sequence[Entry], num_images: int, seed: int) -> list[Entry]:
    """`num_images` entries by seed, in random order: the first n of them are a random sample too."""
    require(
        0 < num_images <= len(entries),
        f"num_images={num_images}: only {len(entries)} images have two objects below the threshold",
    )
    by_file = {entry.file: entry for entry in entries}
    return [by_file[file] for file in shuffled(list(by_file), seed)[:num_images]]


def write_manifest(entries: Sequence[Entry], path: str | Path) -> None:
    """CSV, a row per image; byte for byte the same for the same entries."""
    names = class_names()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FIELDS)
        for entry in entries:
            a, b = entry.classes
            writer.writerow((entry.file, a, b, names[a], names[b], f"{entry.similarity:.4f}"))


def read_manifest(path: str | Path) -> list[Entry]:
    """Entries of a manifest.

    Raises:
        UserError: naming the file and the line that is wrong.
    """
    path = Path(path)
    require(path.is_file(), f"manifest {path} not found: make it with `cdam-bench prepare imagenet-multi`")
    entries = []
    with path.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                classes = (int(row["class_a"]), int(row["class_b"]))
                entries.append(Entry(row["file"], classes, float(row["similarity"])))
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(f"manifest {path}, line {number}: expected the columns {', '.join(FIELDS)}") from error
            require(
                all(0 <= c < NUM_CLASSES for c in classes) and classes[0] != classes[1],
                f"manifest {path}, line {number}: {classes} are not two different classes in 0…{NUM_CLASSES - 1}",
            )
    require(bool(entries), f"manifest {path} is empty: make it with `cdam-bench prepare imagenet-multi`")
    return entries


def pairs_around(
    labels: Sequence[Sequence[int]], similarity: np.ndarray, threshold: float, count: int
) -> list[tuple[float, int, str, str]]:
    """The `count` pairs of labels on either side of the threshold that most images have, most alike first.

    Returns:
        (similarity, images with this pair, name, name) for the pairs within 0.1 of the threshold.
    """
    frequency = Counter(pair for listed in labels for pair in combinations(sorted(set(listed)), 2))
    names = class_names()
    near = [(float(similarity[pair]), images, pair) for pair, images in frequency.items()]
    above = [row for row in near if threshold <= row[0] < threshold + 0.1]
    below = [row for row in near if threshold - 0.1 <= row[0] < threshold]
    chosen = [row for side in (above, below) for row in sorted(side, key=lambda row: (-row[1], row[2]))[:count]]
    return [(value, images, names[a], names[b]) for value, images, (a, b) in sorted(chosen, key=lambda row: -row[0])]


def select_imagenet_multi(config: DictConfig) -> None:
    """The run of `conf/select_imagenet_multi.yaml`: writes the manifest, and prints the pairs around the threshold."""
    require(0 < config.threshold <= 1, f"threshold={config.threshold}: must be in (0, 1]")
    labels = real_labels(config.real_labels)
    similarity = instantiate(config.class_similarity).matrix()
    entries = different_objects(labels, similarity, config.threshold)
    chosen = draw(entries, config.num_images, config.seed)
    write_manifest(chosen, config.output)
    if config.similarity_output is not None:
        save_similarity(similarity, config.similarity_output)
    print(f"pairs around the threshold {config.threshold}: similarity, images, names")
    side = None
    for value, images, a, b in pairs_around(labels, similarity, config.threshold, config.pairs_shown):
        if side != (side := value < config.threshold):
            print("kept:" if side else "dropped:")
        print(f"  {value:.3f} {images:4d}  {a} / {b}")
    several = sum(len(set(listed)) > 1 for listed in labels)
    print(f"{several} images have several labels, {len(entries)} of them two different objects")
    print(f"{config.output}: {len(chosen)} images")
