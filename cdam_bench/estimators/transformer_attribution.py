"""Transformer Attribution: LRP relevance × gradient of every block's attention, rolled out."""

from dataclasses import dataclass
from typing import Any

import torch
from timm.layers import Mlp
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.backbones.heads import blocks_read
from cdam_bench.errors import require
from cdam_bench.estimators.base import TokenEstimator
from cdam_bench.estimators.relevance import safe_divide


class TransformerAttribution(TokenEstimator):
    """Ā_b = mean over heads of relu(R_A ⊙ ∂f_c/∂A) for every block b, R_A the relevance of its attention A by LRP from f_c
    down; the scores are row [CLS] of (I + Ā_L) ··· (I + Ā_1), carried as a row from last to first. Not signed.

    Rules: linear layers α = 1, β = 0 without biases, so positive products alone, R_i = Σ_j (x_i w_ij)⁺ / Σ_k (x_k w_kj)⁺ · R_j;
    norms, activations, LayerScale and softmax hand relevance on; products give half to either factor; a residual sum a + b is
    split in proportion to the values, then both parts are scaled to |ΣR_a| : |ΣR_b|, adding up to ΣR. A head that is not one
    linear layer is replaced by its linearisation at the features. (Partial LRP has the other rules of the authors' code, which
    divide the two signs of a linear layer separately and scale nothing.)

    Where the terms of a residual sum nearly cancel, relevances are large, of opposite sign, and rounding is amplified; more so with
    every block. Double precision (`backbone.double()`) is exact to 1e-6. To be independent of the batch, images go one by one.

    Cost: about 6.5 forward passes for one target: gradients go back, and relevance by four products per layer.
    Source: Chefer et al. 2021, "Transformer Interpretability Beyond Attention Visualization" (CVPR), eqs. 7, 9, 10, 13, 14.
    """

    signed = False
    class_aware = True

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        for index, block in enumerate(backbone.vit.blocks):
            mlp = type(block.mlp)
            require(
                mlp is Mlp,
                f"Transformer Attribution has no rule for the {mlp.__name__} of block {index}: use a plain MLP",
            )
        rows = [_scores_of_one(backbone, *one) for one in zip(images.split(1), targets, strict=True)]
        return torch.stack(rows)[..., backbone.num_prefix_tokens :]


def _scores_of_one(backbone: Backbone, image: Tensor, targets: Tensor) -> Tensor:
    """(1, 3, H, W), (K,) → (K, P + N)."""
    blocks, count = backbone.vit.blocks, blocks_read(backbone.head)
    inputs = backbone.block_inputs(image)
    read_before = [x[:, 0] for x in inputs[len(blocks) - count + 1 :]]  # what entered a block left the one before
    step = _run(blocks[-1], inputs.pop()[0], wanted=1)  # the head reads [CLS] alone
    latents = torch.cat([*read_before, step.outputs.detach()])
    walks = [_Walk(*_through_head(backbone, latents, target), length=len(step.x)) for target in targets.unbind(0)]
    for block in reversed(blocks):
        for walk in walks:
            walk.take(block, step)
        if inputs:
            x = inputs.pop()[0]
            step = _run(blocks[len(inputs)], x, wanted=len(x))
    return torch.stack([walk.row for walk in walks])


class _Walk:
    """One target on its way down: the row of the rollout, and gradient and relevance at the output of the next block.

    Args:
        gradients, relevances: of [CLS] as it left each of the blocks that the head reads, first to last.
        length: tokens T.
    """

    def __init__(self, gradients: list[Tensor], relevances: list[Tensor], length: int) -> None:
        self.gradients, self.relevances = gradients, relevances
        self.gradient, self.relevance = self.gradients.pop()[None], self.relevances.pop()[None]
        self.row = self.gradient.new_zeros(length)
        self.row[0] = 1

    def take(self, block: Any, step: "_Step") -> None:
        """Through one block."""
        self.gradient, at_attention = step.pull(self.gradient)
        of_attention, self.relevance = step.relevance(block, self.relevance)
        attention = at_attention.mul_(of_attention).relu_().mean(0)  # (Q, T)
        self.row = self.row + self.row[: len(attention)] @ attention
        if self.gradients:  # the head reads [CLS] here too
            self.gradient[0] += self.gradients.pop()
            self.relevance[0] += self.relevances.pop()


@dataclass(frozen=True)
class _Step:
    """One block at one image, for the first Q of its T tokens.

    Args:
        x: input (T, D), with the graph from it to the outputs.
        tokens: after norm1 (T, D).
        q, k, v: (H, Q, d), (H, T, d), (H, T, d).
        attention: (H, Q, T).
        heads: A·V (H, Q, d).
        flat: what the projection reads (Q, D).
        attended, middle: what the attention adds to the first Q inputs, and the sum (Q, D).
        normed, hidden: what the MLP's two layers read (Q, D), (Q, 4·D).
        updated, outputs: what the MLP adds, and the sum (Q, D).
    """

    x: Tensor
    tokens: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    attention: Tensor
    heads: Tensor
    flat: Tensor
    attended: Tensor
    middle: Tensor
    normed: Tensor
    hidden: Tensor
    updated: Tensor
    outputs: Tensor

    def pull(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """∂f/∂outputs (Q, D) → ∂f/∂x (T, D) and ∂f/∂A (H, Q, T)."""
        at_inputs, at_attention = torch.autograd.grad(
            self.outputs, (self.x, self.attention), gradient, retain_graph=True
        )
        return at_inputs, at_attention

    @torch.no_grad()
    def relevance(self, block: Any, relevance: Tensor) -> tuple[Tensor, Tensor]:
        """Relevance of the outputs (Q, D) → of the attention matrix (H, Q, T) and of the input (T, D)."""
        wanted = len(relevance)
        to_middle, to_mlp = split_sum(self.middle, self.updated, relevance)
        to_mlp = positive_rule(block.mlp.fc2.weight, self.hidden, to_mlp)
        to_middle = to_middle + positive_rule(block.mlp.fc1.weight, self.normed, to_mlp)
        to_inputs, to_attended = split_sum(self.x[:wanted], self.attended, to_middle)
        to_heads = positive_rule(block.attn.proj.weight, self.flat, to_attended)
        to_heads = to_heads.reshape(wanted, len(self.heads), -1).transpose(0, 1)
        to_attention, (to_q, to_k, to_v) = self._through_attention(to_heads)
        to_qkv = torch.stack([to_q, to_k, to_v]).permute(2, 0, 1, 3).flatten(1)  # (T, 3·H·d)
        total = positive_rule(block.attn.qkv.weight, self.tokens, to_qkv)
        total[:wanted] += to_inputs
        return to_attention, total

    def _through_attention(self, to_heads: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Relevance of the heads' outputs (H, Q, d) → of the attention matrix (H, Q, T), and of q, k, v (H, T, d) each.

        Head by head: matrices of one head stay in the processor's cache.
        """
        wanted = to_heads.shape[1]
        shares = safe_divide(to_heads, self.heads)
        to_attention, to_q = torch.empty_like(self.attention), torch.zeros_like(self.k)
        to_k, to_v = torch.empty_like(self.k), torch.empty_like(self.v)
        for h, (q, k, v) in enumerate(zip(self.q, self.k, self.v, strict=True)):
            torch.mul(self.attention[h], shares[h] @ v.T, out=to_attention[h]).div_(2)
            to_v[h] = v * (self.attention[h].T @ shares[h]) / 2
            share = safe_divide(to_attention[h], q @ k.T)
            to_q[h, :wanted] = q * (share @ k) / 2
            to_k[h] = k * (share.T @ q) / 2
        return to_attention, (to_q, to_k, to_v)


def _run(block: Any, x: Tensor, wanted: int) -> _Step:
    """The block forwards, keeping what the rules need. x: (T, D)."""
    attn, mlp = block.attn, block.mlp
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        tokens = block.norm1(x)
        q, k, v = attn.qkv(tokens).reshape(len(x), 3, attn.num_heads, -1).permute(1, 2, 0, 3).unbind(0)  # (H, T, d)
        q = q[:, :wanted]
        attention = (q * attn.scale @ k.transpose(1, 2)).softmax(-1)
        heads = attention @ v
        flat = attn.norm(heads.transpose(0, 1).flatten(1))
        attended = block.ls1(attn.proj(flat))
        middle = x[:wanted] + attended
        normed = block.norm2(middle)
        hidden = mlp.norm(mlp.act(mlp.fc1(normed)))
        updated = block.ls2(mlp.fc2(hidden))
        outputs = middle + updated
    return _Step(x, tokens, q, k, v, attention, heads, flat, attended, middle, normed, hidden, updated, outputs)


def _through_head(backbone: Backbone, latents: Tensor, target: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Gradient and relevance (D,) of [CLS] as it left each of the last n blocks, first to last; latents (n, D)."""
    vit = backbone.vit
    with torch.enable_grad():
        leaf = latents.detach()[None].requires_grad_()  # (1, n, D)
        features = vit.fc_norm(vit.norm(leaf)).flatten(1)
        chosen = backbone.head(features).gather(1, target.reshape(1, 1)).sum()  # no index is read back from the device
        gradient, weights = torch.autograd.grad(chosen, (leaf, features))
    products = (weights * features.detach()).clamp(min=0)
    relevance = safe_divide(products, products.sum()).reshape(leaf.shape)
    return list(gradient[0].unbind(0)), list(relevance[0].unbind(0))


def positive_rule(weight: Tensor, inputs: Tensor, relevance: Tensor) -> Tensor:
    """R_i = Σ_j (x_i w_ij)⁺ / Σ_k (x_k w_kj)⁺ · R_j: weight (out, in), inputs (T, in), relevance (T, out) → (T, in).

    Conserves relevance wherever an output has any positive product.
    """
    w_up, w_down = weight.clamp(min=0), weight.clamp(max=0)
    x_up, x_down = inputs.clamp(min=0), inputs.clamp(max=0)
    share = safe_divide(relevance, x_up @ w_up.T + x_down @ w_down.T)
    return x_up * (share @ w_up) + x_down * (share @ w_down)


def split_sum(a: Tensor, b: Tensor, relevance: Tensor) -> tuple[Tensor, Tensor]:
    """Relevance (T, D) of the terms of a + b: in proportion to the values, then scaled to |ΣR_a| : |ΣR_b|, adding up to ΣR."""
    share = safe_divide(relevance, a + b)
    parts = a * share, b * share
    sums = [part.sum() for part in parts]
    size = sums[0].abs() + sums[1].abs()
    first, second = (
        part * safe_divide(safe_divide(total.abs(), size) * relevance.sum(), total)
        for part, total in zip(parts, sums, strict=True)
    )
    return first, second
