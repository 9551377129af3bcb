"""From names, files and settings to backbones: timm's models built, weights loaded, device and precision chosen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from cdam_bench.backbones.backbone import Backbone
from cdam_bench.backbones.checkpoints import load_head, load_weights
from cdam_bench.backbones.conv_stem import ConvStem
from cdam_bench.backbones.files import find_weights
from cdam_bench.backbones.positions import is_dinov2, set_input_size
from cdam_bench.errors import UserError, nearest_names, one_line, require

EMBED_LAYERS = {"conv_stem": ConvStem}  # by the names that configs use in model_args.embed_layer


def create_vit(architecture: str, *args: Any, **options: Any) -> VisionTransformer:
    """As `create_model`, for timm's VisionTransformers alone.

    Raises:
        UserError: as there, and for another kind of model.
    """
    model = create_model(architecture, *args, **options)
    require(isinstance(model, VisionTransformer), f"architecture={architecture} is not a VisionTransformer")
    return model


def create_model(
    architecture: str,
    num_classes: int | None = None,
    image_size: int | None = None,
    model_args: Mapping[str, Any] | None = None,
    pretrained: bool = False,
) -> Any:
    """A timm model by name.

    Args:
        architecture: timm's name, as "vit_small_patch8_224.dino".
        num_classes: outputs of its own head; 0: none; None: timm's default.
        image_size: side in pixels; None: the architecture's. Convolutional models take any and are not told.
        model_args: further arguments of the model's class; `embed_layer` may be a name in `EMBED_LAYERS`.
        pretrained: download timm's weights.
    Raises:
        UserError: for an unknown name, an image size the patches do not divide, or a failed download.
    """
    check_architecture(architecture)
    options = dict(model_args or {})
    if isinstance(options.get("embed_layer"), str):
        name = options["embed_layer"]
        require(name in EMBED_LAYERS, f"model_args.embed_layer={name} is unknown: use {', '.join(EMBED_LAYERS)}")
        options["embed_layer"] = EMBED_LAYERS[name]
    if num_classes is not None:
        options["num_classes"] = num_classes
    if image_size is not None and _has_fixed_size(architecture):
        options["img_size"] = image_size
        patch = options.get("patch_size") or _default_patch_size(architecture)
        require(
            image_size > 0 and image_size % patch == 0,
            f"image_size={image_size} is not divisible by the patch size {patch}: "
            f"use {max(patch, image_size // patch * patch)}",
        )
    # timm would resample the positions of pretrained weights in its own way
    own_way = pretrained and is_dinov2(architecture)
    size = options.pop("img_size", None) if own_way else None
    try:
        model: Any = timm.create_model(architecture, pretrained=pretrained, **options)
    except TypeError as error:
        raise UserError(f"architecture={architecture} does not take these arguments: {error}") from error
    except OSError as error:  # no network and not in the cache
        raise UserError(
            f"weights of {architecture} could not be downloaded ({one_line(error)}): give a file as "
            "backbone.checkpoint=<path>, and backbone.pretrained=false"
        ) from error
    if size is not None:
        set_input_size(model, (size, size))
    return model


def check_architecture(architecture: str) -> None:
    """Raise UserError, with the nearest ones, unless timm has a model of that name."""
    if not timm.is_model(architecture):
        near = nearest_names(architecture.split(".")[0], timm.list_models())
        hint = f"did you mean {' or '.join(near)}?" if near else "see timm.list_models()"
        raise UserError(f"architecture={architecture} is not a timm model: {hint}")


def _has_fixed_size(architecture: str) -> bool:
    """Whether a model is built for images of one size."""
    config = timm.get_pretrained_cfg(architecture)
    return config is None or config.fixed_input_size


def _default_patch_size(architecture: str) -> int:
    with torch.device("meta"):
        model: Any = timm.create_model(architecture)
    return model.patch_embed.patch_size[0] if hasattr(model, "patch_embed") else 1


def load_backbone(
    architecture: str,
    checkpoint: str | Path | None = None,
    head: str | Path | nn.Module | None = None,
    num_classes: int | None = None,
    image_size: int | None = None,
    pretrained: bool = False,
    model_args: Mapping[str, Any] | None = None,
    weights_dir: str | Path | None = None,
    device: str | torch.device = "cpu",
    precision: str = "fp32",
) -> Backbone:
    """Build a backbone and load its weights.

    Args:
        architecture: timm's name of the model.
        checkpoint: weights of the model in any official layout: a path, or a file name in `weights_dir` or among those that
            come with the package. None: random values, unless `pretrained`.
        head: file of a linear head (looked up like the checkpoint), a module, or None: the head inside the checkpoint.
        num_classes: outputs of the head.
        image_size: side of the images in pixels; position embeddings are resampled to it.
        pretrained: let timm download its weights.
        model_args: further arguments of the model's class.
        weights_dir: folder searched for `checkpoint` and `head`.
        device, precision: where and how to compute; see Backbone. "auto": CUDA if there is one, and `chosen_precision`.
    Raises:
        UserError: for files that are missing, broken or of another architecture.
    """
    device, precision = prepared(device, precision)
    # beside a separate head, the model has none of its own: the checkpoint may lack the weights for it
    own_classes = num_classes if head is None else 0
    model = create_model(architecture, own_classes, image_size, model_args, pretrained)
    if checkpoint is not None:
        load_weights(model, find_weights(checkpoint, weights_dir))
    if isinstance(head, str | Path):
        head = load_head(find_weights(head, weights_dir), model.num_features, num_classes)
    return Backbone(model, head, precision, image_size).to(device)


def prepared(device: str | torch.device, precision: str) -> tuple[torch.device, str]:
    """The device and the precision to compute with, "auto" resolved, and torch set to use TF32 only where it is asked for."""
    device = checked_device(device)
    precision = chosen_precision(precision, device)
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    return device, precision


def chosen_precision(precision: str, device: torch.device) -> str:
    """`precision`, or for "auto" the fastest whose tables differ from fp32's by less than 0.5 % (docs/performance.md)."""
    if precision != "auto":
        return precision
    return "bf16" if device.type == "cuda" else "fp32"


def checked_device(device: str | torch.device) -> torch.device:
    """`device` if torch has it here; "auto" is CUDA where there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"runtime.device={device} cannot be used here ({reason}): use runtime.device=cpu") from error
    return chosen
