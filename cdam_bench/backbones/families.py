"""Families: what timm's models are explained by which last stage, and what is said of a model that cannot be explained."""

from copy import copy, deepcopy
from typing import Any

from timm.models.beit import Beit
from timm.models.deit import VisionTransformerDistilled
from timm.models.eva import Eva
from timm.models.pvt_v2 import PyramidVisionTransformerV2
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from cdam_bench.backbones.autograd_stages import OTHER_FAMILIES, MapStage, PvtStage, SwinStage, TokenStage, VitStage
from cdam_bench.backbones.heads import DistilledHeads, blocks_read, reads_mean, reads_pair
from cdam_bench.backbones.last_block import is_standard
from cdam_bench.backbones.last_stage import ClsStage, LastStage
from cdam_bench.backbones.positions import set_input_size
from cdam_bench.backbones.preprocessing import TimmPreprocessing, timm_settings
from cdam_bench.errors import UserError, require

# the first norm of a block, by the name of the block's class: those that normalise before attention
FIRST_NORMS = {"Block": "norm1", "EvaBlock": "norm1", "SwinTransformerBlock": "norm1"} | dict.fromkeys(
    ("ParallelScalingBlock", "DiffParallelScalingBlock"), "in_norm"
)
SEQUENCES = (Eva, Beit)
# methods by their names in conf/estimator that need neither a [CLS] token nor blocks; docs/families.md has the table
FOR_EVERY_FAMILY = (
    "cdam",
    "smooth_cdam",
    "integrated_cdam",
    "gradcam",
    "input_x_gradient",
    "integrated_gradients",
    "integrated_gradients_black",
    "integrated_gradients_white",
    "integrated_gradients_blur",
    "smoothgrad",
    "occlusion",
    "patch_ablation",
    "rise",
    "kernel_shap",
    "random",
)


def check_model(model: Any) -> None:
    """Raise UserError unless a model is one of timm's that ends in a grid of tokens or in a map of features."""
    name = type(model).__name__
    timms = all(hasattr(model, part) for part in ("forward_features", "forward_head", "feature_info", "get_classifier"))
    require(timms and bool(model.feature_info), f"{name} is not a timm model with a last stage: {OTHER_FAMILIES}")


def reads_cls_alone(model: Any, head: nn.Module) -> bool:
    """Whether the closed form holds: a VisionTransformer of standard blocks whose head reads [CLS] and nothing else."""
    return (
        isinstance(model, VisionTransformer)
        and model.global_pool == "token"
        and not (reads_mean(head) or reads_pair(head))
        and not isinstance(model, VisionTransformerDistilled)
        and all(map(is_standard, model.blocks))
    )


def last_stage(model: Any, head: nn.Module) -> LastStage:
    """The stage whose tokens are explained.

    Raises:
        UserError: for a model or a head that cannot be explained.
    """
    number = blocks_read(head)
    if isinstance(model, VisionTransformer):
        depth = len(model.blocks)
        require(number <= depth, f"the head reads the last {number} blocks, but the ViT has {depth}")
        if reads_cls_alone(model, head):
            return ClsStage(model, head)
        return VitStage(model, head, model.blocks[-1], first_norm(model.blocks[-1]))
    if isinstance(model, SEQUENCES):
        return TokenStage(model, head, model.blocks[-1], first_norm(model.blocks[-1]))
    if isinstance(model, SwinTransformer):
        block = model.layers[-1].blocks[-1]
        return SwinStage(model, head, block, first_norm(block))
    if isinstance(model, PyramidVisionTransformerV2):
        block = model.stages[-1].blocks[-1]
        return PvtStage(model, head, block, first_norm(block))
    return MapStage(model, head)


def first_norm(block: nn.Module) -> str:
    """The name of the norm whose output is explained.

    Raises:
        UserError: for a block that does not normalise before its attention.
    """
    for kind in type(block).__mro__:
        if kind.__name__ in FIRST_NORMS:
            return FIRST_NORMS[kind.__name__]
    raise UserError(
        f"{type(block).__name__}, the last block, has no norm before its attention, whose output could be explained"
    )


def own_head(model: Any) -> nn.Module:
    """The head of a model, that reads its pooled features.

    Raises:
        UserError: for a ViT that pools nothing: its head gives an output per token.
    """
    if isinstance(model, VisionTransformerDistilled):
        return DistilledHeads(model.head, model.head_dist)
    require(
        getattr(model, "global_pool", None) != "",
        f"{type(model).__name__} has global_pool='', an output for every token: give a head that makes one output of them",
    )
    return model.get_classifier()


def is_sequence(model: Any) -> bool:
    """Whether a model is a transformer of one sequence of tokens, a token for every patch of the image."""
    return isinstance(model, (VisionTransformer, *SEQUENCES))


def what_it_reads(model: Any, head: nn.Module) -> str:
    """Why a model has no closed form, for messages."""
    name = type(model).__name__
    if not is_sequence(model):
        return f"{name} has no [CLS] token"
    if reads_mean(head):
        return "the head reads the mean patch token beside [CLS]"
    if reads_pair(head) or isinstance(model, VisionTransformerDistilled):
        return "the head reads two tokens, [CLS] and the distillation token"
    if model.global_pool != "token":
        return f"{name} is pooled by global_pool={model.global_pool!r}, not by [CLS]"
    return f"{name} has blocks other than the standard pre-norm ones"


def class_names_of(model: Any) -> tuple[str, ...] | None:
    """What a model's outputs are called, where its pretrained_cfg says it."""
    config = getattr(model, "pretrained_cfg", None) or {}
    names, count = config.get("label_names"), getattr(model, "num_classes", 0)
    return tuple(map(str, names)) if names is not None and len(names) == count else None


def preprocessing_of(model: Any, image_size: tuple[int, int]) -> TimmPreprocessing | None:
    """How pictures are prepared for a model, as its pretrained_cfg says; None if it has none, or images are not square."""
    config = getattr(model, "pretrained_cfg", None)
    if not config or image_size[0] != image_size[1]:
        return None
    return TimmPreprocessing(**timm_settings(config, image_size[0]))


def image_size_of(model: Any) -> tuple[int, int]:
    """(H, W) in pixels that a model is built for, or for which it was trained where it takes any."""
    size = getattr(getattr(model, "patch_embed", None), "img_size", None)
    if size is not None:
        return size
    _, height, width = (getattr(model, "pretrained_cfg", None) or {}).get("input_size") or (3, 224, 224)
    return height, width


def has_fixed_size(model: Any) -> bool:
    """Whether a model takes images of one size alone."""
    return getattr(getattr(model, "patch_embed", None), "img_size", None) is not None


def resized(model: Any, image_size: tuple[int, int]) -> Any:
    """The same model for images of (H, W), its position embeddings resampled; a ViT's blocks are shared, not copied.

    Raises:
        UserError: for a model that cannot change its size.
    """
    if not has_fixed_size(model):
        return model
    if not isinstance(model, VisionTransformer):
        require(hasattr(model, "set_input_size"), f"{type(model).__name__} cannot change its image size")
        other = deepcopy(model)
        other.set_input_size(img_size=image_size)
        return other.eval().requires_grad_(False)
    other = copy(model)
    other._parameters = dict(model._parameters)  # set_input_size replaces pos_embed
    other._modules = {**model._modules, "patch_embed": copy(model.patch_embed)}
    set_input_size(other, image_size)
    return other.eval().requires_grad_(False)
