"""Metric: from (backbone, images, targets, maps) to scores and curves of every image."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.computing.colours import Normalised
from cdam_bench.computing.micro_batches import MicroBatch
from cdam_bench.metrics.fills import Scene
from cdam_bench.metrics.perturbation import DEFAULT_BATCH_SIZE
from cdam_bench.store.columns import Column, Curve

DELTA_NOTE = (
    "Δ = A − A′: A with the target's own map, A′ with the other class's map, the target's logit recorded in both; 0 for a method "
    "that is blind to the class."
)


@dataclass(frozen=True)
class Subject:
    """The images a metric looks at, and what all estimators share about them.

    Args:
        backbone: whose outputs are measured.
        images: (B, 3, H, W), normalised, on the backbone's device.
        targets: (B, K) long: the target, then the other annotated classes.
        seeds: (B,) long, one per image.
        boxes: (B, K, 4) long: where the targets' objects are, or None.
        masks: (B, H, W) bool: the pixels of the object that all targets are about, or None.
        shared: what `Metric.prepare` returned for these images.
        batch_size: images in one forward pass; a MicroBatch stays halved once memory ran out.
        normalisation: what has the mean and std that the images were normalised with; None: the backbone's `preprocessing`.
        other_images: gives another image of the dataset for each, (B, 3, H, W); None where there is no dataset.
    """

    backbone: Backbone
    images: Tensor
    targets: Tensor
    seeds: Tensor
    boxes: Tensor | None = None
    masks: Tensor | None = None
    shared: dict[str, Tensor] = field(default_factory=dict)
    batch_size: int | MicroBatch = DEFAULT_BATCH_SIZE
    normalisation: Normalised | None = None
    other_images: Callable[[], Tensor] | None = None

    def scene(self, blur_sigma: float) -> Scene:
        """What a fill may be made from."""
        known = self.normalisation or getattr(self.backbone, "preprocessing", None)
        return Scene(self.images, blur_sigma, self.seeds, known, self.other_images)


@dataclass(frozen=True)
class Measurement:
    """Results of one metric for B images.

    Args:
        scores: column name → (B,) values; these become columns of scores.csv.
        curves: name → (B, …) values; these become arrays of curves.npz.
    """

    scores: dict[str, Tensor]
    curves: dict[str, Tensor] = field(default_factory=dict)


class Metric(ABC):
    """What every metric is. To add one, subclass this and write one YAML."""

    def prepare(self, subject: Subject) -> dict[str, Tensor]:
        """What does not depend on the estimator, name → (B, …); computed once per dataset and backbone, and stored."""
        return {}

    def check(self, image_size: tuple[int, int]) -> None:
        """Raise UserError if this metric cannot be measured on images of (H, W); called before a run starts."""
        return

    def columns(self) -> Sequence[Column]:
        """What people read in tables and figures of this metric's scores; one that is not told stands there by its bare name.

        Named are the columns for the first target; those of the others (`direction`) need no entry, unless they are to be shown.
        """
        return ()

    def curves(self) -> Sequence[Curve]:
        """The arrays that `measure` gives as curves: their axes, and how they are drawn."""
        return ()

    @abstractmethod
    def measure(self, subject: Subject, maps: Tensor) -> Measurement:
        """Scores and curves of maps (B, K, H, W), one per target."""


def direction(k: int) -> str:
    """Prefix of the columns about the k-th target: none for the first, "other_" for the second."""
    return ("", "other_")[k] if k < 2 else f"target{k + 1}_"


def per_target(name: str, values: Tensor) -> dict[str, Tensor]:
    """Values (B, K maps, K recorded) → columns: the target's own map, and with two targets the other's and the difference."""
    scores = {}
    count = values.shape[1]
    for k in range(count):
        prefix = direction(k)
        scores[f"{prefix}{name}"] = values[:, k, k]
        if count == 2:
            scores[f"{prefix}wrong_{name}"] = values[:, 1 - k, k]
            scores[f"{prefix}delta_{name}"] = values[:, k, k] - values[:, 1 - k, k]
    return scores
