"""Where the small networks start: random weights from which they learn at once."""

from typing import Any

import timm.models
import torch
from omegaconf import DictConfig

from cdam_bench.backbones.loading import create_model
from cdam_bench.configs import plain

WEIGHT_INIT = "jax"  # timm's default starts small transformers on a long plateau
TAKE_WEIGHT_INIT = ("timm.models.vision_transformer", "timm.models.swin_transformer")


def untrained_vit(config: DictConfig) -> Any:
    """The model of `config.backbone` with a head of its own, its weights drawn by `config.seed`; nothing is loaded.

    Any of timm's: the small ViTs, a Swin, a ConvNeXt.
    """
    torch.manual_seed(config.seed)
    backbone = plain(config.backbone)
    model_args = {**backbone["model_args"]}
    architecture = backbone["architecture"]
    if timm.is_model(architecture) and timm.models.model_entrypoint(architecture).__module__ in TAKE_WEIGHT_INIT:
        model_args["weight_init"] = WEIGHT_INIT
    return create_model(architecture, backbone["num_classes"], backbone["image_size"], model_args)
