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

from cdam_bench.backbones.loading import checked_device, chosen_precision
from cdam_bench.configs import build_preprocessing, plain
from cdam_bench.datasets.cifar10 import load_photographs
from cdam_bench.datasets.cifar10_scenes import QUADRANTS, mosaics
from cdam_bench.training.classifier import Recipe, train_classifier, write_model
from cdam_bench.training.recipes.scene_accuracy import accuracy_for_card, evenly
from cdam_bench.training.recipes.scenes import SceneBatches, settings_of
from cdam_bench.training.recipes.start import untrained_vit

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
    batches = SceneBatches.of(config, train, preprocessing, config.backbone.model_args.patch_size, device)
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
    known, unknown = evenly(train, config.measured_photographs), evenly(test, config.measured_photographs)
    about = {
        "test accuracy": accuracy_for_card(vit, *unknown, preprocessing, device),
        "accuracy on as many training photographs": accuracy_for_card(vit, *known, preprocessing, device),
        "test scenes": {"one photograph": len(unknown[1]), "mosaic": len(unknown[1]) // QUADRANTS},
        "parameters": sum(p.numel() for p in vit.parameters()),
    }
    kept = {name: value for name, value in plain(config).items() if name != "paths"}
    write_model(Path(config.output), weights, work_dir, device, about, kept)
