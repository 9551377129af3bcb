"""Where the small networks start: a ViT of random weights that learns at once."""

import torch
from omegaconf import DictConfig
from timm.models.vision_transformer import VisionTransformer

from cdam_bench.backbones.backbone import create_vit
from cdam_bench.configs import plain

WEIGHT_INIT = "jax"  # timm's default starts small ViTs on a long plateau


def untrained_vit(config: DictConfig) -> VisionTransformer:
    """The ViT of `config.backbone` with a head of its own, its weights drawn by `config.seed`; nothing is loaded."""
    torch.manual_seed(config.seed)
    backbone = plain(config.backbone)
    model_args = {**backbone["model_args"], "weight_init": WEIGHT_INIT}
    return create_vit(backbone["architecture"], backbone["num_classes"], backbone["image_size"], model_args)
