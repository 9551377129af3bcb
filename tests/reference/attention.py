"""Attention matrices and the attention map."""

import torch

from tests.reference.model import patches_only, recorded


def attention_matrices(model, image, target):
    """For every block, first to last: A (H, T, T) and ∂f_c/∂A (H, T, T)."""
    with recorded(*(block.attn.attn_drop for block in model.blocks)) as matrices:
        logit = model(image[None].double())[0, target]
    gradients = torch.autograd.grad(logit, matrices)
    return [(a[0].detach(), g[0]) for a, g in zip(matrices, gradients, strict=True)]


def attention_map(model, image, target):
    attention, _ = attention_matrices(model, image, target)[-1]
    return patches_only(model, attention.mean(0)[0])
