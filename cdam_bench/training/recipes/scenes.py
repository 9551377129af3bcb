"""Training scenes of CIFAR-10 photographs: single quadrants, mosaics of four, and single photographs on backgrounds."""

from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resize

from cdam_bench.configs import Plain
from cdam_bench.datasets.cifar10 import CLASS_NAMES, Photographs
from cdam_bench.datasets.cifar10_scenes import CANVAS, COLOUR_GRID, COLOURS, QUADRANTS, backgrounds_of, mosaics, singles
from cdam_bench.datasets.preprocessing import Preprocessing
from cdam_bench.training.classifier import equal_shares
from cdam_bench.training.perturbation import perturb_features
from cdam_bench.training.states import DIGITS, training_settings, weights_digest

SHIFT = 4  # pixels a training photograph is moved by at most


class SceneBatches:
    """Step → a batch of training images: single quadrants before `scenes_from`, whole scenes after.

    Args:
        photographs: (N, 3, 32, 32) uint8.
        labels: (N,) long.
        preprocessing: of the backbone that is trained.
        quadrants_per_step, scenes_per_step: batch sizes of the two parts.
        scenes_from: first step with scenes.
        mosaic_share: share of the scenes that are mosaics.
        seed: of the whole run.
        blur_sigma, patch_size: of the feature perturbation, in pixels.
        probability: chance that an image is perturbed.
        device: where batches are made.
    """

    def __init__(
        self,
        photographs: Tensor,
        labels: Tensor,
        preprocessing: Preprocessing,
        quadrants_per_step: int,
        scenes_per_step: int,
        scenes_from: int,
        mosaic_share: float,
        seed: int,
        blur_sigma: float,
        patch_size: int,
        probability: float,
        device: torch.device,
    ) -> None:
        self.photographs, self.labels = photographs.to(device), labels.to(device)
        self.enlarged = preprocessing.image_size / CANVAS
        self.mean = torch.tensor(preprocessing.mean, device=device)[:, None, None]
        self.std = torch.tensor(preprocessing.std, device=device)[:, None, None]
        self.quadrants_per_step, self.scenes_per_step, self.scenes_from = (
            quadrants_per_step,
            scenes_per_step,
            scenes_from,
        )
        self.mosaic_share, self.seed, self.device = mosaic_share, seed, device
        self.perturbation: dict[str, Any] = {
            "blur_sigma": blur_sigma,
            "patch_size": patch_size,
            "probability": probability,
        }

    @classmethod
    def of(
        cls,
        config: DictConfig,
        train: Photographs,
        preprocessing: Preprocessing,
        patch_size: int,
        device: torch.device,
    ) -> "SceneBatches":
        """Those of a recipe's settings."""
        return cls(
            train.images,
            train.labels,
            preprocessing,
            config.quadrants_per_step,
            config.scenes_per_step,
            config.quadrant_steps,
            config.mosaic_share,
            config.seed,
            patch_size=patch_size,
            device=device,
            **config.perturbation,
        )

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator(self.device).manual_seed(1_000_003 * self.seed + step)
        if step < self.scenes_from:
            images, classes = self._drawn(step, self.quadrants_per_step, generator)
            targets = equal_shares(classes[:, None], len(CLASS_NAMES))
        else:
            images, targets = self._scenes(step, generator)
        if self.enlarged != 1:  # as the preprocessing does it
            side = round(images.shape[-1] * self.enlarged)
            images = resize(images, [side], InterpolationMode.BICUBIC, antialias=True)
        return perturb_features((images - self.mean) / self.std, generator=generator, **self.perturbation), targets

    def _drawn(self, step: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Augmented photographs (count, 3, 32, 32) in [0, 1], and their classes."""
        epoch, start = divmod(step * count, len(self.labels))
        order = self._order(epoch)
        if start + count > len(order):
            order = torch.cat([order, self._order(epoch + 1)])
        chosen = order[start : start + count]
        return augmented(self.photographs[chosen] / 255, generator), self.labels[chosen]

    def _order(self, epoch: int) -> Tensor:
        """Order of the photographs in an epoch."""
        if getattr(self, "_kept", (None, None))[0] != epoch:
            generator = torch.Generator().manual_seed(7_919 * self.seed + epoch)
            self._kept = (epoch, torch.randperm(len(self.labels), generator=generator).to(self.device))
        return self._kept[1]

    def _scenes(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        count = self.scenes_per_step
        four = round(count * self.mosaic_share)
        drawn, classes = self._drawn(step, QUADRANTS * four + count - four, generator)
        together = drawn[: QUADRANTS * four].unflatten(0, (four, QUADRANTS))
        alone = drawn[QUADRANTS * four :]
        backgrounds = random_backgrounds(len(alone), generator)
        quadrants = torch.randint(QUADRANTS, (len(alone),), generator=generator, device=self.device)
        images = torch.cat([mosaics(together), singles(alone, quadrants, backgrounds)])
        targets = [
            equal_shares(classes[: QUADRANTS * four].unflatten(0, (four, QUADRANTS)), len(CLASS_NAMES)),
            equal_shares(classes[QUADRANTS * four :, None], len(CLASS_NAMES)),
        ]
        return images, torch.cat(targets)


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Photographs (B, 3, h, w) in [0, 1], mirrored or not, shifted by up to 4 pixels, a little brighter or duller."""
    batch, _, height, width = images.shape
    device = images.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(batch, 1, 1, 1, generator=generator, device=device) * (high - low) + low

    images = torch.where(uniform(0, 1) < 0.5, images.flip(3), images)
    padded = nn.functional.pad(images, [SHIFT] * 4, mode="reflect")
    down, right = (torch.randint(2 * SHIFT + 1, (batch, 1), generator=generator, device=device) for _ in range(2))
    rows = down + torch.arange(height, device=device)
    columns = right + torch.arange(width, device=device)
    index = torch.arange(batch, device=device)[:, None, None]
    shifted = padded.movedim(1, 3)[index, rows[:, :, None], columns[:, None]].movedim(3, 1)
    mean = shifted.mean((1, 2, 3), keepdim=True)
    return ((shifted - mean) * uniform(0.8, 1.2) + mean * uniform(0.8, 1.2)).clamp(0, 1)


def random_backgrounds(count: int, generator: torch.Generator) -> Tensor:
    """Backgrounds of single scenes (count, 3, 64, 64), on the generator's device."""
    low, high = COLOURS
    colours = torch.rand(count, *COLOUR_GRID, generator=generator, device=generator.device) * (high - low) + low
    return backgrounds_of(colours)


def settings_of(config: DictConfig, train: Photographs, device: torch.device) -> Plain:
    """What the batches depend on: the draws of a GPU are others than the processor's."""
    photographs = weights_digest({"images": train.images, "labels": train.labels})[:DIGITS]
    return training_settings(config) | {"photographs": photographs, "draws_on": device.type}
