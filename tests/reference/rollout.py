"""Attention rollout with full matrices."""

import torch

from tests.reference.attention import attention_matrices
from tests.reference.model import patches_only


def attention_rollout(model, image, target):
    """Product over blocks, the last one leftmost, of (Ā + I)/2; row [CLS]."""
    matrices = attention_matrices(model, image, target)
    identity = torch.eye(matrices[0][0].shape[-1], dtype=torch.double)
    product = identity
    for attention, _ in matrices:
        product = (attention.mean(0) + identity) / 2 @ product
    return patches_only(model, product[0])
