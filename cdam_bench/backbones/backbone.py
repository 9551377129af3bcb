"""Backbone: a frozen timm ViT with its head."""

from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from cdam_bench.backbones.heads import blocks_read
from cdam_bench.backbones.last_block import LastBlock, check_blocks
from cdam_bench.errors import require

PRECISIONS = ("fp32", "tf32", "bf16")


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
