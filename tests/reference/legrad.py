"""LeGrad: every block's tokens read by the final norm and the head, and autograd down to that block's attention matrix."""

import torch

from tests.reference.model import patches_only, recorded


def legrad(model, image, target, reading, layers=None):
    """Mean over heads and queries of relu(∂s/∂A), summed over the last blocks.

    `reading` makes one token (D,) of those that leave a block (T, D).
    """
    blocks = list(model.blocks)
    with recorded(*(block.attn.attn_drop for block in blocks)) as matrices, recorded(*blocks) as left:
        model(image[None].double())
    total = 0
    for attention, tokens in list(zip(matrices, left, strict=True))[-(layers or len(blocks)) :]:
        read = model.head(model.fc_norm(model.norm(reading(tokens[0])[None])))[0, target]
        (gradient,) = torch.autograd.grad(read, attention, retain_graph=True)
        total = total + gradient[0].clamp(min=0).mean((0, 1))
    return patches_only(model, total)


def cls_token(tokens):
    return tokens[0]


def mean_token(tokens):
    return tokens.mean(0)
