"""Transformer Attribution (Chefer et al. 2021, CVPR), literally, over all tokens and with full matrices."""

import torch

from tests.reference.attention import attention_matrices
from tests.reference.model import patches_only, recorded_io
from tests.reference.relevance import divide


def positive_rule(weight, x, relevance):
    """R_i = Σ_j (x_i w_ij)⁺ / Σ_k (x_k w_kj)⁺ · R_j with every product written out; x (T, in), R (T, out)."""
    products = (x[:, None, :] * weight).clamp(min=0)  # (T, out, in)
    share = divide(relevance, products.sum(-1))
    return (products * share[..., None]).sum(1)


def normalised_sum_rule(a, b, relevance):
    """R_a = a ⊙ R ⊘ (a + b), then R_a · |ΣR_a| / (|ΣR_a| + |ΣR_b|) · ΣR / ΣR_a, and b alike (eqs. 9 and 10)."""
    of_a, of_b = a * divide(relevance, a + b), b * divide(relevance, a + b)
    size, total = of_a.sum().abs() + of_b.sum().abs(), relevance.sum()

    def normalised(part):
        return part * divide(divide(part.sum().abs(), size) * total, part.sum())

    return normalised(of_a), normalised(of_b)


def transformer_attribution(model, image, target):
    """Row [CLS] of Π (I + mean over heads of relu(∂f/∂A ⊙ R_A)); the model's head is one linear layer."""
    relevances = attention_relevances(model, image, target)
    matrices = attention_matrices(model, image, target)
    length = relevances[0].shape[-1]
    rollout = torch.eye(length, dtype=torch.double)
    for (_, gradient), relevance in zip(matrices, relevances, strict=True):
        mean = (gradient * relevance).clamp(min=0).mean(0)
        rollout = (torch.eye(length, dtype=torch.double) + mean) @ rollout
    return patches_only(model, rollout[0])


def attention_relevances(model, image, target):
    """R_A (H, T, T) of every block, first to last, for relevance 1 of the target."""
    with torch.no_grad(), recorded_io(model) as seen:
        model(image[None].double())
    into, out_of = seen["head"][0][0], seen["head"][1][0]
    one_hot = torch.zeros_like(out_of)
    one_hot[target] = 1
    of_cls = list(positive_rule(model.head.weight, into[None], one_hot[None])[0].split(model.embed_dim))
    relevance = torch.zeros_like(seen["blocks.0.norm1"][0][0])
    found = []
    for index in reversed(range(len(model.blocks))):
        if of_cls:  # the head reads this block's [CLS]
            relevance[0] += of_cls.pop()
        of_matrix, relevance = _through_block(model.blocks[index], seen, f"blocks.{index}.", relevance)
        found.insert(0, of_matrix)
    return found


def _through_block(block, seen, name, relevance):
    """Relevance (T, D) of a block's output → of its attention matrix (H, T, T) and of its input (T, D)."""

    def into(module):
        return seen[name + module][0][0]

    def out_of(module):
        return seen[name + module][1][0]

    to_middle, to_mlp = normalised_sum_rule(into("norm2"), out_of("ls2"), relevance)
    to_mlp = positive_rule(block.mlp.fc2.weight, into("mlp.fc2"), to_mlp)
    to_mlp = positive_rule(block.mlp.fc1.weight, into("mlp.fc1"), to_mlp)
    to_input, to_attention = normalised_sum_rule(into("norm1"), out_of("ls1"), to_middle + to_mlp)
    to_heads = positive_rule(block.attn.proj.weight, into("attn.proj"), to_attention)
    length, heads = len(to_heads), block.attn.num_heads
    to_heads = to_heads.reshape(length, heads, -1).transpose(0, 1)
    q, k, v = out_of("attn.qkv").reshape(length, 3, heads, -1).permute(1, 2, 0, 3)  # (H, T, d)
    attention = out_of("attn.attn_drop")
    share = divide(to_heads, attention @ v)
    to_matrix = torch.einsum("hij,hjd,hid->hij", attention, v, share) / 2
    to_v = torch.einsum("hij,hjd,hid->hjd", attention, v, share) / 2
    share = divide(to_matrix, q @ k.transpose(1, 2))
    to_q = torch.einsum("hid,hjd,hij->hid", q, k, share) / 2
    to_k = torch.einsum("hid,hjd,hij->hjd", q, k, share) / 2
    to_qkv = torch.stack([to_q, to_k, to_v]).permute(2, 0, 1, 3).reshape(length, -1)
    return to_matrix, to_input + positive_rule(block.attn.qkv.weight, into("attn.qkv"), to_qkv)
