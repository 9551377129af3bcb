"""Attention rollout: attention followed through all blocks, whatever the class."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.estimators.base import TokenEstimator


class AttentionRollout(TokenEstimator):
    """Row [CLS] of the product over blocks, last to first, of (Ā + I)/2, Ā the mean attention over heads.

    Not negative, blind to the class. Only that row is wanted, so a row vector is carried through the blocks from last to first,
    r ← (r + r·Ā)/2, and attention is recomputed head by head and freed at once.

    Cost: about 1.3 forward passes. Source: Abnar & Zuidema 2020, "Quantifying Attention Flow in Transformers".
    """

    signed, class_aware = False, False

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        inputs = backbone.block_inputs(images)
        last = backbone.last_block
        row = last.attend(last.normalised(inputs.pop())).attention.mean(1) / 2  # (B, P + N)
        row[:, 0] += 0.5
        for index in reversed(range(len(inputs))):
            row = (row + _attended(backbone.vit.blocks[index], inputs.pop(), row)) / 2
        return row[:, None, backbone.num_prefix_tokens :].expand(-1, targets.shape[1], -1)


def _attended(block: Any, x: Tensor, row: Tensor) -> Tensor:
    """r·Ā of a block with input x (B, T, D), for r (B, T): (B, T)."""
    attn = block.attn
    batch, length, _ = x.shape
    width = 2 * attn.qkv.weight.shape[0] // 3  # queries and keys; the values are not needed
    bias = None if attn.qkv.bias is None else attn.qkv.bias[:width]
    both = F.linear(block.norm1(x), attn.qkv.weight[:width], bias)
    q, k = both.reshape(batch, length, 2, attn.num_heads, -1).permute(2, 3, 0, 1, 4).unbind(0)  # (H, B, T, d)
    shares = [(row[:, None] @ (a * attn.scale @ b.mT).softmax(-1))[:, 0] for a, b in zip(q, k, strict=True)]
    return sum(shares[1:], shares[0]) / attn.num_heads
