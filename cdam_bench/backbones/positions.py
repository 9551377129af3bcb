"""Position embeddings for a grid of another size, resampled as the model's family was trained."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Resampling:
    """How the position embeddings of patches get another size; always bicubic.

    Args:
        antialias: smooth before making smaller.
        offset: patches by which the new grid is taken to be longer than it is; 0: exactly as long.
    """

    antialias: bool = True
    offset: float = 0.0


TIMM = Resampling()
DINOV2 = Resampling(antialias=False, offset=0.1)
DINOV2_WITH_REGISTERS = Resampling(antialias=True)


def resampling_of(vit: Any) -> Resampling:
    """How a ViT's positions are resampled: as `set_resampling` said, or by timm's name of its architecture.

    `vit_*_dinov2` without registers is resampled as DINOv2's training and published code do: without antialiasing, the grid taken
    to be 0.1 patches longer; with registers as theirs do: with antialiasing, exactly. All others are resampled as timm does.

    Source: dinov2/configs/ssl_default_config.yaml and dinov2/hub/backbones.py of facebookresearch/dinov2.
    """
    if (chosen := getattr(vit, "position_resampling", None)) is not None:
        return chosen
    architecture = (getattr(vit, "pretrained_cfg", None) or {}).get("architecture") or ""
    if not is_dinov2(architecture):
        return TIMM
    return DINOV2 if getattr(vit, "reg_token", None) is None else DINOV2_WITH_REGISTERS


def is_dinov2(architecture: str) -> bool:
    """Whether timm's name is that of a DINOv2 model."""
    return "dinov2" in architecture.split(".")[0]


def set_resampling(vit: Any, resampling: Resampling) -> None:
    """Say how a ViT's positions are resampled, of one that no name of timm says it of."""
    vit.position_resampling = resampling


def resampled(
    positions: Tensor, old: tuple[int, int], new: tuple[int, int], prefix: int, resampling: Resampling
) -> Tensor:
    """Position embeddings for a grid of another size.

    Args:
        positions: (1, P + h·w, D).
        old, new: (h, w) and (H, W), rows and columns of patches.
        prefix: P, the positions that are not of patches; they stay as they are.
        resampling: of the model's family.
    Returns:
        (1, P + H·W, D) of the same type; `positions` as they are if the sizes agree.
    """
    if tuple(old) == tuple(new):
        return positions
    grid = positions[:, prefix:].float().reshape(1, *old, -1).permute(0, 3, 1, 2)  # (1, D, h, w)
    factors = [(after + resampling.offset) / before for before, after in zip(old, new, strict=True)]
    # torch takes either; of factors, it samples where they say, and rounds the size down
    size: Any = {"scale_factor": factors} if resampling.offset else {"size": tuple(new)}
    grid = F.interpolate(grid, mode="bicubic", align_corners=False, antialias=resampling.antialias, **size)
    return torch.cat([positions[:, :prefix], grid.flatten(2).transpose(1, 2).to(positions.dtype)], 1)


def prefix_of(vit: Any) -> int:
    """Position embeddings of a ViT that are not of patches."""
    return 0 if getattr(vit, "no_embed_class", False) else vit.num_prefix_tokens


def set_input_size(vit: Any, image_size: tuple[int, int]) -> None:
    """Make a VisionTransformer one for images of (H, W) pixels, in place."""
    positions, old = vit.pos_embed, vit.patch_embed.grid_size
    vit.set_input_size(img_size=image_size)
    if positions is not None:
        new = resampled(positions, old, vit.patch_embed.grid_size, prefix_of(vit), resampling_of(vit))
        vit.pos_embed = nn.Parameter(new.detach(), requires_grad=positions.requires_grad)
