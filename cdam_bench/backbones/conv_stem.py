"""Convolutional stem: patch tokens from three small convolutions instead of one large one."""

from typing import Any

from timm.layers import PatchEmbed
from torch import nn

from cdam_bench.errors import require


class ConvStem(PatchEmbed):
    """One token per patch of 4 × 4 pixels, (B, 3, H, W) → (B, N, D), from the 11 × 11 pixels around the patch's first.

    ViTs with such a stem need far fewer images to learn from than those that project each patch linearly. It stands in timm's
    VisionTransformer as `embed_layer`; a backbone's config asks for it with `model_args.embed_layer: conv_stem`.

    Args:
        img_size: side of the images in pixels, or (H, W).
        patch_size: must be 4.
        in_chans: channels of the images.
        embed_dim: D.
        **options: further ones of timm's PatchEmbed.
    Raises:
        UserError: for another patch size.
    Source: Xiao et al. 2021, "Early Convolutions Help Transformers See Better".
    """

    def __init__(
        self,
        img_size: int | tuple[int, int] = 64,
        patch_size: int = 4,
        in_chans: int = 3,
        embed_dim: int = 128,
        **options: Any,
    ) -> None:
        require(patch_size == 4, f"patch_size={patch_size}: conv_stem makes patches of 4")
        super().__init__(img_size, patch_size, in_chans, embed_dim, **options)
        first, second = embed_dim // 4, embed_dim // 2
        self.proj = nn.Sequential(
            nn.Conv2d(in_chans, first, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.GELU(),
            nn.Conv2d(first, second, 3, padding=1, bias=False),
            nn.BatchNorm2d(second),
            nn.GELU(),
            nn.Conv2d(second, embed_dim, 3, stride=2, padding=1),
        )
