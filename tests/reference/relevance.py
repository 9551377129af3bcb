"""Relevance Propagation and Partial LRP, literally, over all tokens and with full matrices."""

import torch

from tests.reference.attention import attention_matrices
from tests.reference.model import patches_only, recorded_io

EPSILON = 1e-9


def relevance_propagation(model, image, target):
    """R = I; R ← R + mean over heads of relu(A ⊙ ∂f/∂A) · R, block by block; row [CLS]."""
    matrices = attention_matrices(model, image, target)
    length = matrices[0][0].shape[-1]
    relevance = torch.eye(length, dtype=torch.double)
    for attention, gradient in matrices:
        mean = (attention * gradient).clamp(min=0).mean(0)
        relevance = relevance + mean @ relevance
    return patches_only(model, relevance[0])


def divide(a, b):
    """a ⊘ b: 0 where b is 0."""
    return torch.where(b == 0, 0.0, a / torch.where(b == 0, 1.0, b + EPSILON))


def linear_rule(weight, x, relevance):
    """R_in = x⁺ ⊙ (W⁺)ᵀ[R ⊘ (W⁺x⁺)] + x⁻ ⊙ (W⁻)ᵀ[R ⊘ (W⁻x⁻)] for x (T, in) and R (T, out)."""
    positive, negative = weight.clamp(min=0), weight.clamp(max=0)
    x_positive, x_negative = x.clamp(min=0), x.clamp(max=0)
    through_positive = x_positive * (divide(relevance, x_positive @ positive.T) @ positive)
    through_negative = x_negative * (divide(relevance, x_negative @ negative.T) @ negative)
    return through_positive + through_negative


def sum_rule(a, b, relevance):
    """Relevance of a and of b in a + b."""
    share = divide(relevance, a + b)
    return a * share, b * share


def branch_rule(x, relevances):
    """Relevance of a tensor that is used several times."""
    return x * sum(divide(relevance, x) for relevance in relevances)


def partial_lrp(model, image, target):
    """LRP down to the last attention matrix; the model's head is one linear layer.

    Norms, activations and LayerScale hand relevance on as it is.
    """
    block = model.blocks[-1]
    with torch.no_grad(), recorded_io(model) as seen:
        model(image[None].double())
    last = f"blocks.{len(model.blocks) - 1}."

    def into(name):
        return seen[name][0][0]

    def out_of(name):
        return seen[name][1][0]

    one_hot = torch.zeros_like(out_of("head"))
    one_hot[target] = 1
    of_cls = linear_rule(model.head.weight, into("head")[None], one_hot[None])[0]  # through fc_norm too
    of_cls = of_cls[-model.embed_dim :]  # the last block's [CLS], where the head reads several
    relevance = torch.zeros_like(into("norm"))  # (T, D)
    relevance[0] = of_cls  # token selection; then through the final norm

    middle, updated = into(last + "norm2"), out_of(last + "ls2")
    to_middle, to_mlp = sum_rule(middle, updated, relevance)
    to_mlp = linear_rule(block.mlp.fc2.weight, into(last + "mlp.fc2"), to_mlp)
    to_mlp = linear_rule(block.mlp.fc1.weight, into(last + "mlp.fc1"), to_mlp)
    relevance = branch_rule(middle, [to_middle, to_mlp])

    _, to_attention = sum_rule(into(last + "norm1"), out_of(last + "ls1"), relevance)
    to_heads = linear_rule(block.attn.proj.weight, into(last + "attn.proj"), to_attention)  # (T, D)

    length, heads = len(middle), block.attn.num_heads
    values = out_of(last + "attn.qkv").reshape(length, 3, heads, -1)[:, 2].transpose(0, 1)  # (H, T, d)
    attention = out_of(last + "attn.attn_drop")  # (H, T, T)
    to_heads = to_heads.reshape(length, heads, -1).transpose(0, 1)
    share = divide(to_heads, attention @ values)
    to_matrix = attention * (share @ values.transpose(1, 2)) / 2
    return patches_only(model, to_matrix.clamp(min=0).mean(0)[0])
