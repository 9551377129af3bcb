"""A timm VisionTransformer, block by block."""

from collections import deque
from typing import Any

import torch
from torch import Tensor


def embed(vit: Any, images: Tensor) -> Tensor:
    """Images (B, 3, H, W) → tokens (B, P + N, D) before the first block."""
    return vit.norm_pre(vit.patch_drop(vit._pos_embed(vit.patch_embed(images))))


def stream_length(num_blocks_read: int) -> int:
    """How many earlier [CLS] a head of the last n blocks needs, at least the one that enters the last block."""
    return max(1, num_blocks_read - 1)


def tokens_and_cls(vit: Any, images: Tensor, num_blocks_read: int = 1) -> tuple[Tensor, Tensor]:
    """What the last block, and a head that reads the last n blocks, need.

    Returns:
        The residual stream (B, P + N, D) that enters the last block, and [CLS] as it entered the last S blocks (B, S, D):
        S = 1, or n − 1 for a head that reads n > 2 blocks.
    """
    x, stream = embed(vit, images), deque(maxlen=stream_length(num_blocks_read))
    stream.append(x[:, 0])
    for block in vit.blocks[:-1]:
        x = block(x)
        stream.append(x[:, 0])
    return x, torch.stack(tuple(stream), 1)
