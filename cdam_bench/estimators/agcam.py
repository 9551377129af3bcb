"""AGCAM: gradients of the attention of all blocks, guided by the attention scores through a sigmoid."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.estimators.base import TokenEstimator


class AGCAM(TokenEstimator):
    """Σ over blocks and heads of relu(∂f_c/∂A) ⊙ sigmoid(QKᵀ/√d), row [CLS] of both; not negative, class-aware.

    ∂f_c/∂A of that row is ⟨∂f_c/∂(attention's output for [CLS]), v_i⟩: attention matrices are never formed. The gradient goes
    through one block at a time, whose inner values are recomputed and freed at once.

    Cost: about 3.3 forward passes, and 2 more for every further target. Source: Leem & Seo 2024,
    "Attention Guided CAM: Visual Explanations of Vision Transformer Guided by Self-Attention".
    """

    signed, class_aware = False, True

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        inputs = backbone.block_inputs(images)
        cls_stream = backbone.cls_stream(inputs)
        last, residual = backbone.last_block, inputs.pop()
        seen = last.attend(last.normalised(residual))
        gradients = last.output_gradients(seen.outputs, cls_stream, targets)
        key_constant = (seen.query * last.b_k).sum(-1, keepdim=True) * last.scale  # the softmax does not see it
        guide = (seen.scores + key_constant).sigmoid()  # (B, H, P + N)
        total = _guided(last.attention_gradients(seen, gradients), guide[:, None])
        upstream = last.residual_gradients(residual, seen, gradients)  # (B, K, P + N, D)
        around = list(last.stream_gradients(seen.outputs, cls_stream, targets).unbind(2))  # what skips the attention
        for index in reversed(range(len(inputs))):
            if around:
                upstream[:, :, 0] += around.pop()
            total += _through_block(backbone.vit.blocks[index], inputs.pop(), upstream, is_first=index == 0)
        return total[..., backbone.num_prefix_tokens :]


def _guided(gradients: Tensor, guide: Tensor) -> Tensor:
    """Gradients of attention (..., H, T), and the sigmoid of its scores: (..., T)."""
    return (gradients.relu() * guide).sum(-2)


def _through_block(block: Any, x: Tensor, upstream: Tensor, is_first: bool) -> Tensor:
    """One block backwards: its share of the map.

    Args:
        block: timm's standard Block.
        x: its input (B, T, D).
        upstream: (B, K, T, D) gradient at the block's output; becomes the one at its input, in place.
        is_first: no gradient is needed below.
    Returns:
        (B, K, T).
    """
    attn = block.attn
    batch, length, _ = x.shape
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        qkv = attn.qkv(block.norm1(leaf)).reshape(batch, length, 3, attn.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, H, T, d)
        outputs = F.scaled_dot_product_attention(q, k, v)
        middle = leaf + block.ls1(attn.proj(attn.norm(outputs.transpose(1, 2).flatten(2))))
        after = middle + block.ls2(block.mlp(block.norm2(middle)))
    q, k, v = q.detach(), k.detach(), v.detach()
    guide = (q[:, :, :1] * attn.scale @ k.mT)[:, :, 0].sigmoid()
    shares = []
    last_target = upstream.shape[1] - 1
    for target in range(upstream.shape[1]):
        wanted = (outputs,) if is_first else (outputs, leaf)
        found = torch.autograd.grad(after, wanted, upstream[:, target], retain_graph=target < last_target)
        shares.append(_guided((found[0][:, :, :1] @ v.mT)[:, :, 0], guide))
        if not is_first:
            upstream[:, target] = found[1]
    return torch.stack(shares, 1)
