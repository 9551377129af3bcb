"""AGCAM with full matrices."""

import torch

from tests.reference.attention import attention_matrices
from tests.reference.model import patches_only, recorded


def agcam(model, image, target):
    """Σ over blocks and heads of relu(∂f/∂A) ⊙ sigmoid(QKᵀ/√d); row [CLS]."""
    with torch.no_grad(), recorded(*(block.attn.qkv for block in model.blocks)) as projections:
        model(image[None].double())
    total = 0
    for (_, gradient), qkv in zip(attention_matrices(model, image, target), projections, strict=True):
        heads, length = gradient.shape[0], gradient.shape[-1]
        queries, keys, _ = qkv[0].detach().reshape(length, 3, heads, -1).permute(1, 2, 0, 3)
        scores = queries @ keys.transpose(1, 2) / queries.shape[-1] ** 0.5
        total = total + (gradient.clamp(min=0) * torch.sigmoid(scores)).sum(0)
    return patches_only(model, total[0])
