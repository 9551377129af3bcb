"""The last block for the [CLS] query alone, and ∂f/∂(tokens) in closed form.

A head that reads [CLS] depends on the patch tokens through one row of the last attention matrix. With T the tokens after norm1,
q₀ the [CLS] query and, per head h, u_h = W_kᵀq₀/√d (so that u_h·T_i is the attention score of token i up to a constant that the
softmax ignores) and w_h = W_vᵀg_h, g_h the gradient of f at the head's output:

    ∂f/∂T_i = Σ_h A_hi · [ (w_h·T_i − Σ_j A_hj w_h·T_j) · u_h + w_h ]        for every token, plus for [CLS] the query's part.

Nothing of size N × N is needed, and keys and values are never formed: only products of the tokens with 2H vectors of length D.
Derivation: docs/closed_form.md. Checked against autograd in tests/backbones/test_last_block.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from timm.layers import Attention
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from cdam_bench.backbones.heads import blocks_read


def is_standard(block: nn.Module) -> bool:
    """Whether a block is timm's standard pre-norm Block with plain softmax attention: no query or key norms, no gates."""
    return (
        type(block) is Block
        and type(block.attn) is Attention
        and isinstance(block.attn.q_norm, nn.Identity)
        and isinstance(block.attn.k_norm, nn.Identity)
        and getattr(block.attn, "gate", None) is None
    )


def value_and_pull(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor]]]:
    """f(x), and the function that takes a gradient at f(x) to the one at x."""
    pair: Any = torch.func.vjp(function, x)  # torch announces a third part too, which only has_aux=True gives
    return pair


@dataclass(frozen=True)
class ClsAttention:
    """What the [CLS] query sees in the last block, for B sets of tokens.

    Args:
        tokens: T (B, P + N, D), after norm1.
        query: q₀ (B, H, d).
        directions: u (B, H, D) = W_kᵀq₀/√d.
        scores: u·T (B, H, P + N), the attention logits without the key bias (a constant per head).
        attention: softmax of the scores (B, H, P + N).
        outputs: per head, before the projection (B, H, d).
    """

    tokens: Tensor
    query: Tensor
    directions: Tensor
    scores: Tensor
    attention: Tensor
    outputs: Tensor


class LastBlock:
    """Views of a ViT's last block, final norm and head; holds no values of its own.

    Args:
        vit: timm VisionTransformer whose last block is a standard one.
        head: module from features (B, n·D) to outputs (B, C); n as `blocks_read` says.
    """

    def __init__(self, vit: VisionTransformer, head: nn.Module) -> None:
        self.vit, self.head = vit, head
        self.block: Any = vit.blocks[-1]  # timm's Block; torch calls every part of a module "Tensor or Module"
        self.blocks_read = blocks_read(head)
        attention = self.block.attn
        self.num_heads = attention.num_heads
        self.scale: float = attention.scale
        weights: Tensor = attention.qkv.weight
        shape = (3, self.num_heads, -1, weights.shape[1])
        self.w_q, self.w_k, self.w_v = weights.reshape(shape).unbind(0)  # each (H, d, D)
        bias = attention.qkv.bias
        bias = torch.zeros_like(weights[:, 0]) if bias is None else bias
        self.b_q, self.b_k, self.b_v = bias.reshape(3, self.num_heads, -1).unbind(0)  # each (H, d)

    def normalised(self, residual: Tensor) -> Tensor:
        """Residual stream → T, the tokens the attention reads; both (B, P + N, D)."""
        return self.block.norm1(residual)

    def attend(self, tokens: Tensor) -> ClsAttention:
        """Attention of the [CLS] query over T (B, P + N, D)."""
        query = torch.einsum("bD,hdD->bhd", tokens[:, 0], self.w_q) + self.b_q
        directions = self.key_directions(query)
        scores = directions @ tokens.transpose(1, 2)
        attention = scores.softmax(-1)
        return ClsAttention(tokens, query, directions, scores, attention, self.head_outputs(attention @ tokens))

    def key_directions(self, query: Tensor) -> Tensor:
        """u = W_kᵀq₀/√d: (B, H, d) → (B, H, D)."""
        return torch.einsum("bhd,hdD->bhD", query * self.scale, self.w_k)

    def head_outputs(self, pooled: Tensor) -> Tensor:
        """Attention-weighted mean of the tokens per head (B, H, D) → Σ_i A_i v_i (B, H, d)."""
        return torch.einsum("bhD,hdD->bhd", pooled, self.w_v) + self.b_v

    def value_directions(self, gradients: Tensor) -> Tensor:
        """w = W_vᵀg: gradients at the heads' outputs (B, K, H, d) → (B, K, H, D)."""
        return torch.einsum("bkhd,hdD->bkhD", gradients, self.w_v)

    def readout(self, outputs: Tensor, cls_stream: Tensor) -> Tensor:
        """What the head reads.

        Args:
            outputs: of the attention heads (B, H, d).
            cls_stream: [CLS] in the residual stream as it entered the last S blocks (B, S, D), the last block's at the end.
        Returns:
            [CLS] latent after the final norm (B, D). For a head that reads n > 1 blocks, the latents after each of the last n,
            first to last, side by side (B, n·D).
        """
        block, vit = self.block, self.vit
        attn = block.attn
        x = cls_stream[:, -1] + block.ls1(attn.proj(attn.norm(outputs.flatten(1))))
        x = x + block.ls2(block.mlp(block.norm2(x)))
        if self.blocks_read > 1:
            earlier = cls_stream[:, 1 - self.blocks_read :]  # what enters a block left the one before
            x = torch.cat([earlier, x[:, None]], 1)
        return vit.fc_norm(vit.norm(x)).flatten(1)

    def features(self, residual: Tensor, cls_stream: Tensor) -> Tensor:
        """Residual stream (B, P + N, D) that enters the block → what the head reads; `cls_stream` as in `readout`."""
        return self.readout(self.attend(self.normalised(residual)).outputs, cls_stream)

    def output_gradients(self, outputs: Tensor, cls_stream: Tensor, targets: Tensor) -> Tensor:
        """g = ∂f_c/∂(heads' outputs) for K targets: (B, H, d), (B, S, D), (B, K) → (B, K, H, d)."""
        count = targets.shape[1]
        with torch.enable_grad():
            leaf = outputs.detach().repeat_interleave(count, 0).requires_grad_()
            logits = self.head(self.readout(leaf, cls_stream.detach().repeat_interleave(count, 0)))
            chosen = logits.gather(1, targets.reshape(-1, 1)).sum()
            (gradients,) = torch.autograd.grad(chosen, leaf)
        return gradients.reshape(len(targets), count, *outputs.shape[1:])

    def gradient_products(self, seen: ClsAttention, gradients: Tensor, values: Tensor | None = None) -> Tensor:
        """Σ_j V_ij · ∂f/∂T_ij through keys and values, for every token i.

        Args:
            seen: attention at the point T.
            gradients: (B, K, H, d), from `output_gradients`.
            values: V (B, P + N, D); None: V = T, as CDAM has it.
        Returns:
            (B, K, P + N). For token 0 the part that flows through its query is `query_products`, not included here.
        """
        directions = self.value_directions(gradients)  # (B, K, H, D)
        projected = _project(directions, seen.tokens)  # (B, K, H, P + N)
        key_part = self._key_weights(seen, projected)
        if values is None:
            key_values, value_values = seen.scores, projected
        else:
            key_values, value_values = seen.directions @ values.transpose(1, 2), _project(directions, values)
        attention = seen.attention[:, None]
        return torch.addcmul(attention * value_values, key_part, key_values[:, None]).sum(2)

    def query_products(self, seen: ClsAttention, gradients: Tensor, cls_values: Tensor | None = None) -> Tensor:
        """Σ_j V_0j · ∂f/∂T_0j through the [CLS] query alone: (B, K); V_0 (B, D), by default T_0."""
        cls_values = seen.tokens[:, 0] if cls_values is None else cls_values
        moved = torch.einsum("bD,hdD->bhd", cls_values, self.w_q)
        return (self.query_gradients(seen, gradients) * moved[:, None]).sum((-2, -1))

    def query_gradients(self, seen: ClsAttention, gradients: Tensor) -> Tensor:
        """∂f/∂q₀ per head: (B, K, H, d)."""
        projected = _project(self.value_directions(gradients), seen.tokens)
        pooled = self._key_weights(seen, projected).flatten(1, 2) @ seen.tokens  # (B, K·H, D)
        pooled = pooled.reshape(*gradients.shape[:3], -1)
        return torch.einsum("bkhD,hdD->bkhd", pooled, self.w_k) * self.scale

    def token_gradients(self, seen: ClsAttention, gradients: Tensor) -> Tensor:
        """∂f/∂T for every token, the query's part of [CLS] included: (B, K, P + N, D)."""
        directions = self.value_directions(gradients)
        key_part = self._key_weights(seen, _project(directions, seen.tokens))
        through_keys = key_part.transpose(2, 3) @ seen.directions[:, None]
        through_values = seen.attention[:, None].transpose(2, 3) @ directions
        gradient = through_keys + through_values
        gradient[:, :, 0] += torch.einsum("bkhd,hdD->bkD", self.query_gradients(seen, gradients), self.w_q)
        return gradient

    def residual_gradients(self, residual: Tensor, seen: ClsAttention, gradients: Tensor) -> Tensor:
        """∂f/∂(residual stream that enters the block) through its attention alone: (B, K, P + N, D).

        [CLS] also goes around the attention: `stream_gradients`.
        """
        _, pull_norm = value_and_pull(self.normalised, residual)
        result = self.token_gradients(seen, gradients)
        for k in range(result.shape[1]):
            result[:, k] = pull_norm(result[:, k].contiguous())[0]
        return result

    def stream_gradients(self, outputs: Tensor, cls_stream: Tensor, targets: Tensor) -> Tensor:
        """∂f/∂(cls_stream) with the heads' outputs held fixed: (B, H, d), (B, S, D), (B, K) → (B, K, S, D)."""
        count = targets.shape[1]
        with torch.enable_grad():
            leaf = cls_stream.detach().repeat_interleave(count, 0).requires_grad_()
            logits = self.head(self.readout(outputs.repeat_interleave(count, 0), leaf))
            (gradients,) = torch.autograd.grad(logits.gather(1, targets.reshape(-1, 1)).sum(), leaf)
        return gradients.reshape(*targets.shape, *cls_stream.shape[1:])

    def mean_token_gradient(self, seen: ClsAttention, gradients: Tensor, first: int) -> Tensor:
        """Mean of ∂f/∂T_i over the tokens i ≥ first > 0: (B, K, D)."""
        directions = self.value_directions(gradients)
        key_part = self._key_weights(seen, _project(directions, seen.tokens))[..., first:].mean(-1)  # (B, K, H)
        value_part = seen.attention[..., first:].mean(-1)  # (B, H)
        return torch.einsum("bkh,bhD->bkD", key_part, seen.directions) + torch.einsum(
            "bh,bkhD->bkD", value_part, directions
        )

    def attention_gradients(self, seen: ClsAttention, gradients: Tensor) -> Tensor:
        """∂f/∂A of the [CLS] row: ⟨g, v_i⟩ per head, (B, K, H, P + N)."""
        constant = (gradients * self.b_v).sum(-1, keepdim=True)
        return _project(self.value_directions(gradients), seen.tokens) + constant

    @staticmethod
    def _key_weights(seen: ClsAttention, projected: Tensor) -> Tensor:
        """∂f/∂scores = A_i (w·T_i − Σ_j A_j w·T_j): (B, K, H, P + N)."""
        attention = seen.attention[:, None]
        mean = (attention * projected).sum(-1, keepdim=True)
        return attention * (projected - mean)


def _project(directions: Tensor, tokens: Tensor) -> Tensor:
    """Products of tokens (B, T, D) with directions (B, K, H, D): (B, K, H, T)."""
    return (directions.flatten(1, 2) @ tokens.transpose(1, 2)).reshape(*directions.shape[:3], -1)
