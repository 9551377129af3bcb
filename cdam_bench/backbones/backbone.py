"""Backbone: a frozen timm ViT with its head."""

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from cdam_bench.backbones.checkpoints import load_head, load_weights
from cdam_bench.backbones.conv_stem import ConvStem
from cdam_bench.backbones.files import find_weights
from cdam_bench.backbones.heads import blocks_read
from cdam_bench.backbones.last_block import LastBlock, check_blocks
from cdam_bench.errors import UserError, nearest_names, require

PRECISIONS = ("fp32", "tf32", "bf16")
EMBED_LAYERS = {"conv_stem": ConvStem}  # by the names that configs use in model_args.embed_layer


class Backbone(nn.Module):
    """A frozen ViT that is pooled by its class token, and the head that reads it.

    Images are (B, 3, H, W), normalised, with H and W divisible by the patch size; they are moved to the backbone's device.

    Args:
        vit: timm VisionTransformer pooled by class token; it is put in eval mode and frozen.
        head: module from features (B, D) to outputs (B, C); None: the ViT's own. One with an attribute `blocks_read` = n gets
            the [CLS] latents of the last n blocks, (B, n·D).
        precision: of `logits`: "fp32", "tf32" (CUDA matrix products in TF32) or "bf16" (autocast). Explanations are always
            computed from single-precision tokens.
    Raises:
        UserError: if the ViT has no class token to read, or blocks other than the standard pre-norm ones.
    """

    def __init__(self, vit: VisionTransformer, head: nn.Module | None = None, precision: str = "fp32") -> None:
        super().__init__()
        pooling = getattr(vit, "global_pool", None)
        require(
            isinstance(vit, VisionTransformer) and pooling == "token",
            f"{type(vit).__name__} is pooled by {pooling!r}: the maps need a ViT whose head reads the class token "
            "(global_pool='token')",
        )
        require(precision in PRECISIONS, f"precision={precision} is unknown: use one of {', '.join(PRECISIONS)}")
        check_blocks(vit)
        self.vit = vit.eval().requires_grad_(False)
        self.head = (vit.head if head is None else head).eval().requires_grad_(False)
        require(
            blocks_read(self.head) <= len(vit.blocks),
            f"the head reads the last {blocks_read(self.head)} blocks, but the ViT has {len(vit.blocks)}",
        )
        self.precision = precision

    @property
    def device(self) -> torch.device:
        return next(self.vit.parameters()).device

    @property
    def patch_size(self) -> int:
        return self.vit.patch_embed.patch_size[0]

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) the position embeddings are made for, in pixels."""
        return self.vit.patch_embed.img_size

    @property
    def num_prefix_tokens(self) -> int:
        return self.vit.num_prefix_tokens

    @property
    def embed_dim(self) -> int:
        return self.vit.embed_dim

    @property
    def num_classes(self) -> int:
        """Outputs of the head."""
        with torch.no_grad():
            return self.head(next(self.vit.parameters()).new_zeros(1, blocks_read(self.head) * self.embed_dim)).shape[
                -1
            ]

    @property
    def last_block(self) -> LastBlock:
        return LastBlock(self.vit, self.head)

    def grid(self, images: Tensor) -> tuple[int, int]:
        """Rows and columns of patches in `images`."""
        return images.shape[-2] // self.patch_size, images.shape[-1] // self.patch_size

    def with_head(self, head: nn.Module) -> "Backbone":
        """The same ViT (shared, not copied) with another head, moved to its device."""
        other = copy(self)
        other._modules = {**self._modules, "head": head.to(self.device).eval().requires_grad_(False)}
        return other

    def with_image_size(self, image_size: tuple[int, int]) -> "Backbone":
        """The same ViT (blocks shared, not copied) for images of (H, W) pixels, its position embeddings resampled.

        Raises:
            UserError: if the patch size does not divide H and W.
        """
        height, width = image_size
        require(
            min(image_size) > 0 and height % self.patch_size == 0 and width % self.patch_size == 0,
            f"image_size={height}×{width} is not divisible by the patch size {self.patch_size}",
        )
        if (height, width) == tuple(self.image_size):
            return self
        vit = copy(self.vit)
        vit._parameters = dict(self.vit._parameters)  # set_input_size replaces pos_embed
        vit._modules = {**self.vit._modules, "patch_embed": copy(self.vit.patch_embed)}
        vit.set_input_size(img_size=(height, width))
        other = copy(self)
        other._modules = {**self._modules, "vit": vit.eval().requires_grad_(False)}
        return other

    def tokens(self, images: Tensor) -> Tensor:
        """Residual stream (B, P + N, D) that enters the last block."""
        return self.tokens_and_cls(images)[0]

    def tokens_and_cls(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What the last block and the head need.

        Returns:
            The residual stream (B, P + N, D) that enters the last block, and [CLS] as it entered the last S blocks (B, S, D):
            S = 1, or n − 1 for a head that reads n > 2 blocks.
        """
        x, stream = self.embed(images), deque(maxlen=self._stream_length)
        stream.append(x[:, 0])
        for block in self.vit.blocks[:-1]:
            x = block(x)
            stream.append(x[:, 0])
        return x, torch.stack(tuple(stream), 1)

    @property
    def _stream_length(self) -> int:
        return max(1, blocks_read(self.head) - 1)

    def cls_stream(self, block_inputs: Sequence[Tensor]) -> Tensor:
        """The second part of `tokens_and_cls`, from `block_inputs`."""
        return torch.stack([x[:, 0] for x in block_inputs[-self._stream_length :]], 1)

    def block_inputs(self, images: Tensor) -> list[Tensor]:
        """Residual stream (B, P + N, D) that enters each block, first to last."""
        inputs = [self.embed(images)]
        for block in self.vit.blocks[:-1]:
            inputs.append(block(inputs[-1]))
        return inputs

    def features(self, images: Tensor) -> Tensor:
        """What the head reads: [CLS] latent after the final norm (B, D), or those of the last n blocks (B, n·D)."""
        return self.last_block.features(*self.tokens_and_cls(images))

    def forward(self, images: Tensor) -> Tensor:
        """Outputs of the head (B, C) in single precision, whatever `precision` says; differentiable."""
        return self.head(self.features(images))

    def logits(self, images: Tensor) -> Tensor:
        """Outputs of the head (B, C), float32, computed in `precision`."""
        with self._autocast():
            return self(images).float()

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def embed(self, images: Tensor) -> Tensor:
        """Images → tokens (B, P + N, D) before the first block."""
        self.check_images(images)
        vit = self.vit
        return vit.norm_pre(vit.patch_drop(vit._pos_embed(vit.patch_embed(images.to(self.device)))))

    def check_images(self, images: Tensor) -> None:
        """Raise UserError unless images are (B, 3, H, W) of the size the backbone is built for."""
        require(
            images.ndim == 4 and images.shape[1] == 3,
            f"images of shape {tuple(images.shape)}: expected (B, 3, H, W)",
        )
        height, width = images.shape[-2:]
        patch = self.patch_size
        require(
            height % patch == 0 and width % patch == 0,
            f"image_size={height}×{width} is not divisible by the patch size {patch}: resize or crop the images",
        )
        require(
            (height, width) == tuple(self.image_size),
            f"images are {height}×{width} but the backbone was built for {self.image_size[0]}×{self.image_size[1]}: "
            f"set backbone.image_size={height}",
        )


def create_vit(
    architecture: str,
    num_classes: int | None = None,
    image_size: int | None = None,
    model_args: Mapping[str, Any] | None = None,
    pretrained: bool = False,
) -> VisionTransformer:
    """A timm VisionTransformer by name.

    Args:
        architecture: timm's name, as "vit_small_patch8_224.dino".
        num_classes: outputs of its own head; 0: none; None: timm's default.
        image_size: side in pixels; None: the architecture's.
        model_args: further arguments of timm's VisionTransformer; `embed_layer` may be a name in `EMBED_LAYERS`.
        pretrained: download timm's weights.
    Raises:
        UserError: for an unknown name, an image size the patches do not divide, or a failed download.
    """
    if not timm.is_model(architecture):
        near = nearest_names(architecture.split(".")[0], timm.list_models())
        hint = f"did you mean {' or '.join(near)}?" if near else "see timm.list_models()"
        raise UserError(f"architecture={architecture} is not a timm model: {hint}")
    options = dict(model_args or {})
    if isinstance(options.get("embed_layer"), str):
        name = options["embed_layer"]
        require(name in EMBED_LAYERS, f"model_args.embed_layer={name} is unknown: use {', '.join(EMBED_LAYERS)}")
        options["embed_layer"] = EMBED_LAYERS[name]
    if num_classes is not None:
        options["num_classes"] = num_classes
    if image_size is not None:
        options["img_size"] = image_size
        patch = options.get("patch_size") or _default_patch_size(architecture)
        require(
            image_size > 0 and image_size % patch == 0,
            f"image_size={image_size} is not divisible by the patch size {patch}: "
            f"use {max(patch, image_size // patch * patch)}",
        )
    try:
        vit = timm.create_model(architecture, pretrained=pretrained, **options)
    except TypeError as error:
        raise UserError(f"architecture={architecture} does not take these arguments: {error}") from error
    if not isinstance(vit, VisionTransformer):
        raise UserError(f"architecture={architecture} is not a VisionTransformer")
    return vit


def _default_patch_size(architecture: str) -> int:
    with torch.device("meta"):
        vit: Any = timm.create_model(architecture)
    return vit.patch_embed.patch_size[0]


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
        architecture: timm's name of the ViT.
        checkpoint: weights of the ViT in any official layout: a path, or a file name in `weights_dir` or among those that
            come with the package. None: random values, unless `pretrained`.
        head: file of a linear head (looked up like the checkpoint), a module, or None: the head inside the checkpoint.
        num_classes: outputs of the head.
        image_size: side of the images in pixels; position embeddings are resampled to it.
        pretrained: let timm download its weights.
        model_args: further arguments of timm's VisionTransformer.
        weights_dir: folder searched for `checkpoint` and `head`.
        device, precision: where and how to compute; see Backbone. "auto": CUDA if there is one, and `chosen_precision`.
    Raises:
        UserError: for files that are missing, broken or of another architecture.
    """
    device = checked_device(device)
    precision = chosen_precision(precision, device)
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    # beside a separate head, the ViT has none of its own: the checkpoint may lack the weights for it
    own_classes = num_classes if head is None else 0
    vit = create_vit(architecture, own_classes, image_size, model_args, pretrained)
    if checkpoint is not None:
        load_weights(vit, find_weights(checkpoint, weights_dir))
    if isinstance(head, str | Path):
        head = load_head(find_weights(head, weights_dir), vit.embed_dim, num_classes)
    return Backbone(vit, head, precision).to(device)


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
