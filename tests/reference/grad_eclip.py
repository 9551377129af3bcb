"""Grad-ECLIP by hooks on the last block's attention."""

import torch

from tests.reference.model import recorded


def grad_eclip(model, image, target):
    attention = model.blocks[-1].attn
    with recorded(attention.qkv) as outputs:
        logit = model(image[None].double())[0, target]
    qkv = outputs[0]
    length, first = qkv.shape[1], model.num_prefix_tokens
    query, key, value = qkv[0].detach().reshape(length, 3, -1).unbind(1)  # each (T, D)
    (gradient,) = torch.autograd.grad(logit, qkv)
    # the value of token i has the gradient A_0i·g; the attentions A_0i of each head sum to 1
    at_output = gradient[0].reshape(length, 3, -1)[:, 2].sum(0)  # g (D,)
    cosines = []
    for i in range(first, length):
        cosines.append(query[0] @ key[i] / query[0].norm() / key[i].norm())
    cosines = torch.stack(cosines)
    weights = (cosines - cosines.min()) / (cosines.max() - cosines.min())
    return torch.stack([(at_output * value[first + i] * weights[i]).sum() for i in range(len(weights))]).clamp(min=0)
