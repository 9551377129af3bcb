"""Backbone: a frozen model with its head, and the tokens that its outputs are explained by."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from pathlib import Path
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from cdam_bench.backbones import families, vit_blocks
from cdam_bench.backbones.heads import blocks_read
from cdam_bench.backbones.last_block import LastBlock
from cdam_bench.backbones.last_stage import LastStage, LastTokens
from cdam_bench.errors import UserError, require

PRECISIONS = ("fp32", "tf32", "bf16")


class Backbone(nn.Module):
    """A frozen model of timm, and the head that reads it.

    Images are (B, 3, H, W), normalised; they are moved to the backbone's device. Where the model is a ViT, H and W are divisible by
    the patch size. A ViT whose head reads [CLS] alone works with every method; which methods work with which other family is the
    table of docs/families.md.

    Args:
        model: of timm; it is put in eval mode and frozen.
        head: module from features (B, D) to outputs (B, C); None: the model's own. One with an attribute `blocks_read` = n gets
            the [CLS] latents of the last n blocks, (B, n·D), and one with `reads_mean` the mean patch token after them.
        precision: of `logits`: "fp32", "tf32" (CUDA matrix products in TF32) or "bf16" (autocast). Explanations are always
            computed from single-precision tokens.
        image_size: side in pixels, of models that take any size; None: the one they were trained with.
    Attributes:
        preprocessing: from a picture to an image as the model was trained with; None where the model does not say.
        class_names: of the head's outputs; None where they are not known.
    Raises:
        UserError: for a model or head that cannot be explained.
    """

    preprocessing: Any
    class_names: Sequence[str] | None

    def __init__(
        self, model: Any, head: nn.Module | None = None, precision: str = "fp32", image_size: int | None = None
    ) -> None:
        super().__init__()
        families.check_model(model)
        require(precision in PRECISIONS, f"precision={precision} is unknown: use one of {', '.join(PRECISIONS)}")
        self.model = model.eval().requires_grad_(False)
        self.head = (families.own_head(model) if head is None else head).eval().requires_grad_(False)
        self.precision = precision
        self.image_size = families.image_size_of(model)
        if image_size is not None and not families.has_fixed_size(model):
            self.image_size = (image_size, image_size)
        self.class_names = families.class_names_of(model) if head is None else getattr(head, "names", None)
        self.preprocessing = families.preprocessing_of(model, self.image_size)
        self._grids: dict[tuple[int, int], tuple[int, int]] = {}  # of images of other sizes, found by running the model
        _ = self.last_stage  # complains about what cannot be explained

    @classmethod
    def from_timm(
        cls, model: Any, checkpoint: str | Path | None = None, pretrained: bool = False, precision: str = "fp32"
    ) -> "Backbone":
        """A model of timm, or the one of that name.

        Args:
            model: the model, or timm's name of it.
            checkpoint: weights, of a model that is named; see `load_backbone`.
            pretrained: download timm's weights of a model that is named.
            precision: see Backbone.
        Raises:
            UserError: for unknown names, files that do not fit, and models that cannot be explained.
        """
        if not isinstance(model, str):
            require(checkpoint is None and not pretrained, "checkpoint and pretrained are for a model that is named")
            return cls(model, precision=precision)
        from cdam_bench.backbones import load_backbone  # which needs Backbone itself

        return load_backbone(model, checkpoint, pretrained=pretrained, precision=precision)

    @classmethod
    def from_hf(cls, model: Any) -> "Backbone":
        """A model of Hugging Face: a folder, an id of its hub, or a model of `transformers`; see `from_hugging_face`."""
        from cdam_bench.backbones import from_hugging_face

        return from_hugging_face(model)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def patch_size(self) -> int:
        """Pixels from one token of the last stage to the next."""
        return self.model.feature_info[-1]["reduction"]

    @property
    def num_prefix_tokens(self) -> int:
        """Tokens before those of the grid."""
        return self.last_stage.num_prefix_tokens

    @property
    def embed_dim(self) -> int:
        """Width of what the model pools."""
        return getattr(self.model, "head_hidden_size", None) or self.model.num_features

    @property
    def num_classes(self) -> int:
        """Outputs of the head."""
        with torch.no_grad():
            zeros = next(self.model.parameters()).new_zeros(1, *self.last_stage.feature_shape)
            return self.head(zeros).shape[-1]

    @property
    def last_stage(self) -> LastStage:
        """Where the tokens are that CDAM explains, and how the outputs follow from them."""
        return families.last_stage(self.model, self.head)

    @property
    def vit(self) -> VisionTransformer:
        """The ViT, for methods that go through its blocks.

        Raises:
            UserError: where the head does not read [CLS] alone, naming the methods that work.
        """
        if not families.reads_cls_alone(self.model, self.head):
            raise UserError(
                f"this method needs a ViT of standard blocks whose head reads [CLS] alone, but "
                f"{families.what_it_reads(self.model, self.head)}: use one of {', '.join(families.FOR_EVERY_FAMILY)}"
            )
        return self.model

    @property
    def last_block(self) -> LastBlock:
        """The last block for the [CLS] query alone; raises as `vit`."""
        return LastBlock(self.vit, self.head)

    def grid(self, images: Tensor) -> tuple[int, int]:
        """Rows and columns of tokens in `images`."""
        height, width = images.shape[-2:]
        if families.is_sequence(self.model):
            return height // self.patch_size, width // self.patch_size
        if (height, width) not in self._grids:
            with torch.no_grad():
                self._grids[height, width] = self.last_tokens(images.new_zeros(1, 3, height, width)).grid
        return self._grids[height, width]

    def on_pixels(self, scores: Tensor, image_size: Sequence[int]) -> Tensor:
        """Scores of tokens (..., h, w) → of pixels (..., H, W): each takes the score of the token it lies in."""
        for axis, length in zip((-2, -1), image_size, strict=True):
            count = scores.shape[axis]
            places = torch.arange(length, device=scores.device) * count // length
            scores = scores.index_select(axis, places)
        return scores

    def with_head(self, head: nn.Module) -> "Backbone":
        """The same model (shared, not copied) with another head, moved to its device."""
        other = copy(self)
        other._modules = {**self._modules, "head": head.to(self.device).eval().requires_grad_(False)}
        other.class_names = getattr(head, "names", None)
        _ = other.last_stage
        return other

    def with_image_size(self, image_size: tuple[int, int]) -> "Backbone":
        """The same model (a ViT's blocks shared, not copied) for images of (H, W) pixels, its position embeddings resampled.

        Raises:
            UserError: if a ViT's patch size does not divide H and W, or the model cannot change its size.
        """
        height, width = image_size
        divisible = height % self.patch_size == 0 and width % self.patch_size == 0
        require(
            min(image_size) > 0 and (divisible or not families.is_sequence(self.model)),
            f"image_size={height}×{width} is not divisible by the patch size {self.patch_size}",
        )
        if (height, width) == tuple(self.image_size):
            return self
        other = copy(self)
        other._modules = {**self._modules, "model": families.resized(self.model, (height, width))}
        other.image_size = (height, width)
        return other

    def tokens(self, images: Tensor) -> Tensor:
        """Residual stream (B, P + N, D) that enters the last block; raises as `vit`."""
        return self.tokens_and_cls(images)[0]

    def tokens_and_cls(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What the last block and the head need; raises as `vit`.

        Returns:
            The residual stream (B, P + N, D) that enters the last block, and [CLS] as it entered the last S blocks (B, S, D):
            S = 1, or n − 1 for a head that reads n > 2 blocks.
        """
        self.check_images(images)
        return vit_blocks.tokens_and_cls(self.vit, images.to(self.device), blocks_read(self.head))

    def cls_stream(self, block_inputs: Sequence[Tensor]) -> Tensor:
        """The second part of `tokens_and_cls`, from `block_inputs`."""
        length = vit_blocks.stream_length(blocks_read(self.head))
        return torch.stack([x[:, 0] for x in block_inputs[-length:]], 1)

    def block_inputs(self, images: Tensor) -> list[Tensor]:
        """Residual stream (B, P + N, D) that enters each block, first to last; raises as `vit`."""
        inputs = [self.embed(images)]
        for block in self.vit.blocks[:-1]:
            inputs.append(block(inputs[-1]))
        return inputs

    def last_tokens(self, images: Tensor) -> LastTokens:
        """T of the last stage, of images (B, 3, H, W)."""
        self.check_images(images)
        return self.last_stage.read(images.to(self.device))

    def features(self, images: Tensor) -> Tensor:
        """What the head reads: pooled (B, D), as [CLS] after the final norm, or the latents of the last n blocks (B, n·D)."""
        return self.last_stage.features(self.last_tokens(images))

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
        """Images → tokens (B, P + N, D) before the first block; raises as `vit`."""
        self.check_images(images)
        return vit_blocks.embed(self.vit, images.to(self.device))

    def check_images(self, images: Tensor) -> None:
        """Raise UserError unless images are (B, 3, H, W) of a size the backbone takes."""
        require(
            images.ndim == 4 and images.shape[1] == 3,
            f"images of shape {tuple(images.shape)}: expected (B, 3, H, W)",
        )
        height, width = images.shape[-2:]
        patch = self.patch_size
        if not families.has_fixed_size(self.model):
            require(min(height, width) >= patch, f"images are {height}×{width}: a token covers {patch}×{patch} pixels")
            return
        require(
            (height % patch == 0 and width % patch == 0) or not families.is_sequence(self.model),
            f"image_size={height}×{width} is not divisible by the patch size {patch}: resize or crop the images",
        )
        require(
            (height, width) == tuple(self.image_size),
            f"images are {height}×{width} but the backbone was built for {self.image_size[0]}×{self.image_size[1]}: "
            f"set backbone.image_size={height}",
        )
