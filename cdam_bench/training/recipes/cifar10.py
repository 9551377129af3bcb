"""Train `cifar10_vit` on scenes of CIFAR-10 photographs: first on single quadrants, then on whole scenes.

A ViT has to see some hundred thousand photographs before it looks at anything but colours, and a scene has four times as many
tokens as a photograph. So the network starts with the tokens of one quadrant alone, 32×32 pixels, and only its last part is
trained on 64×64 scenes: mosaics of four photographs (each of their classes a quarter of the target) and single ones on backgrounds.
"""

import math
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resize

from cdam_bench.backbones.loading import checked_device, chosen_precision
from cdam_bench.configs import Plain, build_preprocessing, plain
from cdam_bench.datasets.cifar10 import CLASS_NAMES, Photographs, load_photographs
from cdam_bench.datasets.cifar10_scenes import CANVAS, COLOUR_GRID, COLOURS, QUADRANTS, backgrounds_of, mosaics, singles
from cdam_bench.datasets.preprocessing import Preprocessing
from cdam_bench.errors import require, require_count
from cdam_bench.training.classifier import Recipe, equal_shares, train_classifier, write_model
from cdam_bench.training.perturbation import perturb_features
from cdam_bench.training.recipes.start import untrained_vit
from cdam_bench.training.states import DIGITS, training_settings, weights_digest

SHIFT = 4  # pixels a training photograph is moved by at most
QUERY_KEY, VALUE_OUTPUT = (
    (0.7, 0.7),
    (0.4, 0.4),
)  # shares of noise and identity in the first attention (Trockman & Kolter 2023)


class SceneViT(nn.Module):
    """A ViT for whole scenes that also reads the tokens of one quadrant alone.

    The position of a token is the sum of its place in its quadrant and of the quadrant's own vector, so that what is learnt in
    one quadrant holds in all.

    Args:
        vit: for scenes of 2 × 2 quadrants.
    """

    def __init__(self, vit: VisionTransformer) -> None:
        super().__init__()
        self.vit = vit
        assert vit.pos_embed is not None
        vit.pos_embed.requires_grad_(False)  # made from the two below when the training ends
        rows, columns = vit.patch_embed.grid_size
        self.quadrant_grid = (rows // 2, columns // 2)
        self.place = nn.Parameter(_waves(self.quadrant_grid, vit.embed_dim))
        self.quadrant = nn.Parameter(0.02 * torch.randn(QUADRANTS, vit.embed_dim))

    def positions(self) -> Tensor:
        """Of the patch tokens of a scene, in reading order: (1, N, D)."""
        quadrants = self.quadrant[:, None, None] + self.place.reshape(1, *self.quadrant_grid, -1)  # (4, h, w, D)
        return mosaics(quadrants[None].movedim(-1, 2)).flatten(2).mT

    def forward(self, images: Tensor) -> Tensor:
        """Scenes (B, 3, 64, 64), or the contents of one quadrant (B, 3, 32, 32), → logits (B, C)."""
        vit = self.vit
        tokens = vit.patch_embed.proj(images).flatten(2).mT
        if tokens.shape[1] == len(self.place):  # one quadrant: image i stands in quadrant i mod 4
            quadrants = torch.arange(len(images), device=images.device) % QUADRANTS
            tokens = tokens + self.place + self.quadrant[quadrants, None]
        else:
            tokens = tokens + self.positions()
        assert vit.cls_token is not None
        tokens = torch.cat([vit.cls_token.expand(len(images), -1, -1), tokens], 1)
        return vit.head(vit.fc_norm(vit.norm(vit.blocks(tokens))[:, 0]))

    @torch.no_grad()
    def plain(self) -> VisionTransformer:
        """The ViT with its positions in place."""
        assert self.vit.pos_embed is not None
        self.vit.pos_embed[:, 1:] = self.positions()
        self.vit.pos_embed[:, 0] = 0
        return self.vit.eval()


def _waves(grid: tuple[int, int], width: int) -> Tensor:
    """Sines and cosines of row and column, (h·w, D): near places are alike from the start."""
    frequencies = torch.logspace(0, -1.5, width // 4)
    rows, columns = torch.meshgrid(*(torch.arange(side).float() for side in grid), indexing="ij")
    angles = torch.cat([place.reshape(-1, 1) * frequencies for place in (rows, columns)], 1)
    return 0.5 * torch.cat([angles.sin(), angles.cos()], 1)


@torch.no_grad()
def mimic_trained_attention(vit: VisionTransformer) -> None:
    """Start every attention as trained ones look: tokens attend to those like them, and hand on the opposite of what they see.

    Source: Trockman & Kolter 2023, "Mimetic Initialization of Self-Attention Layers".
    """
    width = vit.embed_dim
    eye = torch.eye(width)
    for block in vit.blocks:
        attn: Any = block.attn
        depth = width // attn.num_heads
        queries, keys, _ = attn.qkv.weight.view(3, attn.num_heads, depth, width).unbind(0)
        noise, identity = QUERY_KEY
        for h in range(attn.num_heads):
            u, s, vh = torch.linalg.svd(noise * torch.randn(width, width) / math.sqrt(width) + identity * eye)
            root = s[:depth].sqrt()
            queries[h], keys[h] = (u[:, :depth] * root).T, root[:, None] * vh[:depth]
        noise, identity = VALUE_OUTPUT
        u, s, vh = torch.linalg.svd(noise * torch.randn(width, width) / math.sqrt(width) - identity * eye)
        root = s.sqrt()
        attn.qkv.weight[2 * width :] = root[:, None] * vh
        attn.proj.weight.copy_(u * root)


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


@torch.inference_mode()
def cifar10_accuracy(
    model: nn.Module, photographs: Tensor, labels: Tensor, preprocessing: Preprocessing, device: torch.device
) -> dict[str, float]:
    """On photographs, each used once as a single scene.

    Args:
        model: scenes (B, 3, 64, 64) → logits (B, 10).
        photographs: (N, 3, 32, 32) uint8, class by class, the same number of each.
        labels: (N,).
        preprocessing: of the model.
        device: of the model.
    Returns:
        `single`: share of single scenes whose class comes first; `mosaic`: of mosaics of four different classes, the mean share
        of the four that are in the top 4; `apart`: the same share if the four are read as single scenes and their
        probabilities averaged, which tells photographs that are hard from scenes that are hard.
    """
    generator = torch.Generator().manual_seed(99)
    per_class = len(labels) // len(CLASS_NAMES)
    hits = {"single": 0.0, "mosaic": 0.0, "apart": 0.0}
    probabilities = torch.empty(len(labels), len(CLASS_NAMES))
    order = torch.randperm(len(labels), generator=generator)
    for part in order.split(250):
        backgrounds = random_backgrounds(len(part), generator)
        quadrants = torch.randint(QUADRANTS, (len(part),), generator=generator)
        scenes = singles(photographs[part] / 255, quadrants, backgrounds)
        probabilities[part] = model(preprocessing(scenes).to(device)).softmax(1).cpu()
        hits["single"] += (probabilities[part].argmax(1) == labels[part]).sum().item()
    count = len(labels) // QUADRANTS
    classes = torch.stack([torch.randperm(len(CLASS_NAMES), generator=generator)[:QUADRANTS] for _ in range(count)])
    places = classes * per_class + torch.randint(per_class, classes.shape, generator=generator)
    for part in places.split(250):
        scenes = mosaics(photographs[part] / 255)
        logits = model(preprocessing(scenes).to(device)).cpu()
        for name, scores in (("mosaic", logits), ("apart", probabilities[part].mean(1))):
            top = scores.topk(QUADRANTS).indices
            hits[name] += (top[:, :, None] == labels[part][:, None]).any(1).float().mean(1).sum().item()
    return {name: hit / (len(labels) if name == "single" else count) for name, hit in hits.items()}


def accuracy_for_card(
    model: nn.Module, photographs: Tensor, labels: Tensor, preprocessing: Preprocessing, device: torch.device
) -> dict[str, float]:
    accuracy = cifar10_accuracy(model, photographs, labels, preprocessing, device)
    return {
        "one photograph, top 1": round(accuracy["single"], 4),
        "mosaic of four classes, mean share of them in the top 4": round(accuracy["mosaic"], 4),
        "the same four one by one, mean share of them in the top 4": round(accuracy["apart"], 4),
    }


def some(part: Photographs, count: int) -> tuple[Tensor, Tensor]:
    """`count` photographs of a part that is sorted by class, the same number of each class, with their labels."""
    every = len(part.labels) // min(require_count("measured_photographs", count), len(part.labels))
    even = len(part.labels) // len(CLASS_NAMES) % every == 0
    require(even, f"measured_photographs={count}: takes other numbers of each class; use 10000, 5000, 2000 or 1000")
    return part.images[::every], part.labels[::every]


def settings_of(config: DictConfig, train: Photographs, device: torch.device) -> Plain:
    """What the batches depend on: the draws of a GPU are others than the processor's."""
    photographs = weights_digest({"images": train.images, "labels": train.labels})[:DIGITS]
    return training_settings(config) | {"photographs": photographs, "draws_on": device.type}


def train_cifar10(config: DictConfig) -> None:
    """The run of `conf/scripts/train_cifar10.yaml`: writes half-precision weights, a card with the accuracy, and the log.

    Raises:
        UserError: for settings that cannot be, and if work_dir has the state of a training with other settings.
    """
    device = checked_device(config.runtime.device)
    recipe = Recipe(
        config.quadrant_steps + config.scene_steps,
        config.learning_rate,
        ema_decay=config.ema_decay,
        precision=chosen_precision(config.runtime.precision, device),
        workers=config.workers,
    )
    vit = untrained_vit(config)
    mimic_trained_attention(vit)
    preprocessing = build_preprocessing(config)
    train = load_photographs(config.paths.data_dir, "train")
    batches = SceneBatches(
        train.images,
        train.labels,
        preprocessing,
        config.quadrants_per_step,
        config.scenes_per_step,
        config.quadrant_steps,
        config.mosaic_share,
        config.seed,
        patch_size=config.backbone.model_args.patch_size,
        device=device,
        **config.perturbation,
    )
    work_dir, settings = Path(config.work_dir), settings_of(config, train, device)
    averaged = train_classifier(SceneViT(vit).to(device), batches, recipe, work_dir, settings, config.overwrite)
    assert isinstance(averaged, SceneViT)
    vit = averaged.plain()
    weights = {
        name: value.half().cpu() if value.is_floating_point() else value.cpu()
        for name, value in vit.state_dict().items()
    }
    vit.load_state_dict(weights)  # measured as it is kept
    test = load_photographs(config.paths.data_dir, "test")
    known, unknown = some(train, config.measured_photographs), some(test, config.measured_photographs)
    about = {
        "test accuracy": accuracy_for_card(vit, *unknown, preprocessing, device),
        "accuracy on as many training photographs": accuracy_for_card(vit, *known, preprocessing, device),
        "test scenes": {"one photograph": len(unknown[1]), "mosaic": len(unknown[1]) // QUADRANTS},
        "parameters": sum(p.numel() for p in vit.parameters()),
    }
    kept = {name: value for name, value in plain(config).items() if name != "paths"}
    write_model(Path(config.output), weights, work_dir, device, about, kept)
