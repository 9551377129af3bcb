"""One backward pass through all blocks with changed rules, for K targets that share the forward pass.

The rules change derivatives, never values, and live in a forward pass of our own through the blocks' weights: no module of the
network is touched. Where everything that is not linear is held constant (`CONSERVATIVE`), the network is at this point an affine
function, so that with g the changed gradient and b the biases (of linear layers and norms, position embeddings and prefix tokens)

    f_c = Σ x ⊙ g_x + Σ_b b ⊙ g_b        for x the pixels or the tokens at any depth (the biases then being those above it).

Each block runs again when its turn comes, so that only the inputs of the blocks are kept. Tested in tests/estimators/test_rules.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import Mlp, PatchEmbed
from torch import Tensor, nn

from cdam_bench.backbones import Backbone
from cdam_bench.backbones.heads import blocks_read
from cdam_bench.errors import require, require_number, unknown_name

CHOICES = {"attention": ("plain", "detach", "halve"), "norm": ("plain", "detach"), "activation": ("plain", "gate")}


@dataclass(frozen=True)
class Rules:
    """What the backward pass takes for the derivative of everything that is not linear, and of linear layers.

    Args:
        attention: of softmax(QKᵀ/√d)·V. "plain": its derivative. "detach": attention weights are constants, so that all flows
            through V. "halve": each of the products A·V and Q·Kᵀ gives half to either factor, the softmax has its derivative.
        norm: "plain", or "detach": LayerNorm's standard deviation is a constant (its mean is not).
        activation: "plain", or "gate": act(x) = x · gate with a constant gate act(x)/x, which is Φ(x) for GELU.
        gamma: γ ≥ 0 of the linear layers in the blocks, see `linear`; 0: their derivative.
        gamma_patches: the same of the patch embedding.
    Raises:
        UserError: for unknown names or a negative γ.
    """

    attention: str = "plain"
    norm: str = "plain"
    activation: str = "plain"
    gamma: float = 0.0
    gamma_patches: float = 0.0

    def __post_init__(self) -> None:
        for key, known in CHOICES.items():
            if getattr(self, key) not in known:
                raise unknown_name(key, getattr(self, key), known)
        for key in ("gamma", "gamma_patches"):
            require_number(key, getattr(self, key))


Change = Callable[
    [int, Tensor], Tensor
]  # a block's number and its tokens after norm1 → what its attention reads instead

PLAIN = Rules()
CONSERVATIVE = Rules(attention="detach", norm="detach", activation="gate")


@dataclass(frozen=True)
class BlockGradients:
    """Gradients at one block of the outputs of K targets.

    Args:
        index: of the block, from 0.
        inputs: residual stream that enters it (B, P + N, D).
        at_inputs: gradient there (B, K, P + N, D).
        tokens: what its attention reads, after its norm1 (B, P + N, D).
        at_tokens: gradient there, through this block's attention (B, K, P + N, D).
    """

    index: int
    inputs: Tensor
    at_inputs: Tensor
    tokens: Tensor
    at_tokens: Tensor


def backward_through_blocks(
    backbone: Backbone, images: Tensor, targets: Tensor, rules: Rules
) -> Iterator[BlockGradients]:
    """Gradients at every block, last to first; whoever stops early saves the rest of the backward pass.

    A head that reads several blocks is followed to each of them. The head itself has its derivative, whatever it is.

    Args:
        backbone: whose output is explained.
        images: (B, 3, H, W).
        targets: (B, K) long.
        rules: of the backward pass.
    Yields:
        BlockGradients, of which the consumer may keep what it needs.
    Raises:
        UserError: for blocks that the rules do not cover.
    """
    check_covered(backbone)
    with torch.no_grad():
        inputs = backbone.block_inputs(images)
    yield from backward_from(backbone, inputs, targets, rules)


def backward_from(
    backbone: Backbone, inputs: list[Tensor], targets: Tensor, rules: Rules, change: Change | None = None
) -> Iterator[BlockGradients]:
    """As `backward_through_blocks`, from the residual stream (B, P + N, D) that enters each block.

    Args:
        backbone, targets, rules: as there.
        inputs: first block to last; the list is emptied on the way.
        change: of the tokens that the attentions read, the same with which `inputs` were computed (`changed_inputs`).
    """
    blocks = backbone.vit.blocks
    count, after = blocks_read(backbone.head), inputs[-1].new_empty(0)
    at_latents: list[Tensor] = []
    read_before = [x[:, 0] for x in inputs[len(blocks) - count + 1 :]]  # what entered a block left the one before
    for index in reversed(range(len(blocks))):
        is_last = index == len(blocks) - 1
        with torch.enable_grad():
            leaf = inputs.pop().detach().requires_grad_()
            # of the last block, the head reads [CLS] alone
            wanted, changed = 1 if is_last else leaf.shape[1], None if change is None else partial(change, index)
            tokens, outputs = through_block(blocks[index], leaf, rules, wanted, changed)
        if is_last:
            latents = torch.stack([*read_before, outputs[:, 0].detach()], 1)
            at_latents = list(_readout_gradients(backbone, latents, targets, rules).unbind(2))
            after = at_latents.pop()[:, :, None]
        at_inputs, at_tokens = _pull(outputs, (leaf, tokens), after)
        if at_latents:
            at_inputs[:, :, 0] += at_latents.pop()
        after = at_inputs
        del outputs
        yield BlockGradients(index, leaf.detach(), at_inputs, tokens.detach(), at_tokens)


def changed_inputs(backbone: Backbone, x: Tensor, first: int, change: Change) -> list[Tensor]:
    """Residual stream that enters the blocks from `first` on, x (B, P + N, D) before it, when attentions read changed tokens."""
    inputs = [x]
    for index, block in list(enumerate(backbone.vit.blocks))[first:-1]:
        inputs.append(through_block(block, inputs[-1], PLAIN, x.shape[1], partial(change, index))[1])
    return inputs


def pixel_gradients(backbone: Backbone, images: Tensor, at_inputs: Tensor, rules: Rules) -> Tensor:
    """Gradient at the first block's input (B, K, P + N, D) → gradient at the pixels (B, K, 3, H, W)."""
    vit = backbone.vit
    with torch.enable_grad():
        leaf = images.detach().requires_grad_()
        tokens = vit.patch_drop(vit._pos_embed(_embed_patches(vit.patch_embed, leaf, rules)))
        tokens = normalise(vit.norm_pre, tokens, rules)
    return _pull(tokens, (leaf,), at_inputs)[0]


def _pull(outputs: Tensor, points: tuple[Tensor, ...], upstream: Tensor) -> list[Tensor]:
    """Gradients at `points` for K gradients (B, K, …) at `outputs` (B, …): (B, K, …) each. Frees the graph."""
    count = upstream.shape[1]
    pulled = [torch.autograd.grad(outputs, points, upstream[:, k], retain_graph=k < count - 1) for k in range(count)]
    return [torch.stack(gradients, 1) for gradients in zip(*pulled, strict=True)]


def _readout_gradients(backbone: Backbone, latents: Tensor, targets: Tensor, rules: Rules) -> Tensor:
    """∂f_c/∂([CLS] as it left the last n blocks): (B, n, D), (B, K) → (B, K, n, D)."""
    vit, count = backbone.vit, targets.shape[1]
    with torch.enable_grad():
        leaf = latents.repeat_interleave(count, 0).requires_grad_()
        features = normalise(vit.fc_norm, normalise(vit.norm, leaf, rules), rules)
        chosen = backbone.head(features.flatten(1)).gather(1, targets.reshape(-1, 1)).sum()
        (gradients,) = torch.autograd.grad(chosen, leaf)
    return gradients.reshape(*targets.shape, *latents.shape[1:])


def check_covered(backbone: Backbone) -> None:
    """Raise UserError for a part of a block that no rule covers."""
    for index, block in enumerate(backbone.vit.blocks):
        mlp: Any = block.mlp
        require(
            type(mlp) is Mlp,
            f"block {index} of the ViT has a {type(mlp).__name__}, for which there is no rule: use a plain MLP",
        )
        for norm in (block.norm1, block.norm2, block.attn.norm, mlp.norm):
            require(
                isinstance(norm, nn.LayerNorm | nn.Identity),
                f"block {index} of the ViT has a {type(norm).__name__}, for which there is no rule: use LayerNorm",
            )


def through_block(
    block: Any, x: Tensor, rules: Rules, wanted: int, change: Callable[[Tensor], Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """A block whose derivative is what the rules say.

    Args:
        block: standard timm block.
        x: its input (B, T, D).
        rules: of the backward pass.
        wanted: the first so many tokens are needed behind it.
        change: of the tokens after norm1; None: none.
    Returns:
        What the attention reads, the tokens after norm1 (B, T, D), and the block's output (B, wanted, D).
    """
    attn, mlp, gamma = block.attn, block.mlp, rules.gamma
    tokens = normalise(block.norm1, x, rules)
    tokens = tokens if change is None else change(tokens)
    qkv = linear(attn.qkv, tokens, gamma)
    q, k, v = qkv.reshape(*x.shape[:2], 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)  # (B, H, T, d)
    heads = _Attention.apply(q[:, :, :wanted], k, v, attn.scale, rules.attention)
    heads = normalise(attn.norm, heads.transpose(1, 2).flatten(2), rules)
    middle = x[:, :wanted] + block.ls1(linear(attn.proj, heads, gamma))
    hidden = activate(mlp.act, linear(mlp.fc1, normalise(block.norm2, middle, rules), gamma), rules)
    return tokens, middle + block.ls2(linear(mlp.fc2, normalise(mlp.norm, hidden, rules), gamma))


def _embed_patches(embed: PatchEmbed, images: Tensor, rules: Rules) -> Tensor:
    """(B, 3, H, W) → (B, N, D): one convolution, or a stem of several with norms and activations between them."""
    x = images
    for layer in embed.proj if isinstance(embed.proj, nn.Sequential) else [embed.proj]:
        if isinstance(layer, nn.Conv2d):
            x = linear(layer, x, rules.gamma_patches)
        else:  # batch norm is affine when it does not learn
            x = layer(x) if isinstance(layer, nn.BatchNorm2d) else activate(layer, x, rules)
    return normalise(embed.norm, x.flatten(2).transpose(1, 2), rules)


def normalise(norm: Any, x: Tensor, rules: Rules) -> Tensor:
    """LayerNorm (or none), its standard deviation a constant where the rules say so."""
    if rules.norm == "plain" or isinstance(norm, nn.Identity):
        return norm(x)
    centred = x - x.mean(-1, keepdim=True)
    std = (centred.detach().square().mean(-1, keepdim=True) + norm.eps).sqrt()
    normalised = centred / std
    if norm.weight is not None:
        normalised = normalised * norm.weight
    return normalised if norm.bias is None else normalised + norm.bias


def activate(activation: nn.Module, x: Tensor, rules: Rules) -> Tensor:
    """act(x), or x times the constant act(x)/x; the gate at x = 0 is the limit there."""
    if rules.activation == "plain":
        return activation(x)
    with torch.no_grad():
        nonzero = torch.where(x == 0, 1e-6, x)
        gate = activation(nonzero) / nonzero
    return x * gate


def linear(layer: nn.Linear | nn.Conv2d, x: Tensor, gamma: float) -> Tensor:
    """A linear layer or convolution whose derivative is that of the generalised γ rule.

    An output y > 0 sends back what it got in proportion to its terms x_i w_i + γ (x_i w_i)⁺, and y < 0 to x_i w_i + γ (x_i w_i)⁻,
    biases alike: terms of the output's own sign weigh 1 + γ. γ = 0 is the ordinary derivative.

    Source: Montavon et al. 2019; for inputs of either sign Andéol et al. 2021.
    """
    y = layer(x)
    if gamma == 0:
        return y
    positive, negative = F.relu(x), -F.relu(-x)
    up, down = layer.weight + gamma * layer.weight.clamp(min=0), layer.weight + gamma * layer.weight.clamp(max=0)
    bias = layer.bias
    biases = (None, None) if bias is None else (bias + gamma * bias.clamp(min=0), bias + gamma * bias.clamp(max=0))
    more = _apply(layer, positive, up, biases[0]) + _apply(layer, negative, down)
    less = _apply(layer, positive, down, biases[1]) + _apply(layer, negative, up)
    total = torch.where(y.detach() > 0, more, less)
    with torch.no_grad():
        share = torch.where(total == 0, 0.0, y / torch.where(total == 0, 1.0, total))
    return total * share


def _apply(layer: nn.Linear | nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The layer with other weights."""
    return F.linear(x, weight, bias) if isinstance(layer, nn.Linear) else layer._conv_forward(x, weight, bias)


class _Attention(torch.autograd.Function):
    """softmax(QKᵀ·scale)·V; backwards by a rule, with each head's attention matrix computed again and freed at once."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float, rule: str) -> Tensor:
        """(B, H, Q, d), (B, H, T, d), (B, H, T, d) → (B, H, Q, d)."""
        ctx.save_for_backward(q, k, v)
        ctx.scale, ctx.rule = scale, rule
        return F.scaled_dot_product_attention(q, k, v, scale=scale)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        (upstream,) = grad_outputs
        q, k, v = ctx.saved_tensors
        at_q, at_k, at_v = torch.zeros_like(q), torch.zeros_like(k), torch.empty_like(v)
        to_v, to_scores = (1 / 2, 1 / 4) if ctx.rule == "halve" else (1, 1)
        for h in range(q.shape[1]):
            attention = (q[:, h] * ctx.scale @ k[:, h].transpose(1, 2)).softmax(-1)  # (B, Q, T)
            at_v[:, h] = attention.transpose(1, 2) @ upstream[:, h] * to_v
            if ctx.rule == "detach":
                continue
            weighted = (upstream[:, h] @ v[:, h].transpose(1, 2)).mul_(attention)
            at_scores = weighted.addcmul_(attention, weighted.sum(-1, keepdim=True), value=-1).mul_(
                ctx.scale * to_scores
            )
            at_q[:, h] = at_scores @ k[:, h]
            at_k[:, h] = at_scores.transpose(1, 2) @ q[:, h]
        return at_q, at_k, at_v, None, None
