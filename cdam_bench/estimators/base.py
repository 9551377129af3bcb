"""Estimator: from (backbone, images, targets) to importance maps."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.errors import require


class Estimator(ABC):
    """What every method of importance is. To add one, subclass this (or TokenEstimator) and write one YAML.

    Attributes:
        signed: whether its maps can speak against an output (negative values). Figures draw maps that cannot in other colours.
        class_aware: whether its maps depend on the target at all.
    """

    signed: bool = True
    class_aware: bool = True

    @abstractmethod
    def attribute(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor | None = None) -> Tensor:
        """Importance of every pixel for the targets.

        Args:
            backbone: whose output is explained.
            images: (B, 3, H, W), normalised.
            targets: (B,) long, or (B, K): K targets of each image, which share its forward pass. They are looked at before
                anything is computed where they are on the CPU; from another device nothing is read back.
            seeds: (B,) long, one per image, for methods that draw noise; None: all 0. The noise depends on nothing else.
        Returns:
            (B, H, W), or (B, K, H, W); float32, detached, on the backbone's device. Signed where the method is.
        Raises:
            UserError: for images, targets or seeds that do not fit.
        """


class TokenEstimator(Estimator):
    """A method that scores patch tokens; pixels take the score of their patch."""

    @abstractmethod
    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        """Scores of the patch tokens (B, K, N) for images and targets (B, K) on its device, seeds (B,) on the CPU."""

    def token_scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor | None = None) -> Tensor:
        """As `attribute`, one score per patch: (B, h, w), or (B, K, h, w)."""
        images, many, seeds = checked_inputs(backbone, images, targets, seeds)
        with torch.no_grad():
            scores = self.scores(backbone, images, many, seeds).float()
        scores = scores.reshape(*many.shape, *backbone.grid(images))
        return scores.reshape(*targets.shape, *scores.shape[2:])

    def attribute(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor | None = None) -> Tensor:
        scores = self.token_scores(backbone, images, targets, seeds)
        return backbone.on_pixels(scores, images.shape[-2:])


class PixelEstimator(Estimator):
    """A method that differentiates the output with respect to the pixels."""

    @abstractmethod
    def pixel_scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        """Scores of the pixels (B, K, H, W) for images and targets (B, K) on its device, seeds (B,) on the CPU."""

    def attribute(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor | None = None) -> Tensor:
        images, many, seeds = checked_inputs(backbone, images, targets, seeds)
        maps = self.pixel_scores(backbone, images, many, seeds)
        return maps.detach().float().reshape(*targets.shape, *images.shape[-2:])


def checked_inputs(
    backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Images and targets as (B, K) on the backbone's device, seeds as (B,) on the CPU, where generators are seeded.

    Raises:
        UserError: if their shapes do not go together, or a target on the CPU is not an output of the head.
    """
    count = len(images)
    require(
        targets.ndim in (1, 2) and len(targets) == count and not targets.is_floating_point(),
        f"targets of shape {tuple(targets.shape)} for {count} images: expected whole numbers (B,) or (B, K)",
    )
    require(seeds is None or seeds.shape == (count,), f"seeds must be one per image: expected ({count},), got {seeds}")
    classes = backbone.num_classes
    if (
        targets.numel() and targets.device.type == "cpu"
    ):  # from elsewhere it would be read back, and the device waited for
        lowest, highest = int(targets.min()), int(targets.max())
        require(
            lowest >= 0 and highest < classes,
            f"targets {lowest}…{highest} are not in 0…{classes - 1}, the head's outputs",
        )
    device = backbone.device
    seeds = torch.zeros(count, dtype=torch.long) if seeds is None else seeds
    return images.to(device), targets.to(device, torch.long).reshape(count, -1), seeds.cpu()
