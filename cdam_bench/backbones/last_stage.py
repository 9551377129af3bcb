"""The last stage: the tokens that are explained, and how the outputs follow from them.

T are the tokens of a grid (after prefix tokens, if there are any) at one place of the network. For a block of a transformer it is
the output of its first norm; what passes by T (the residual stream) is held fixed. CDAM and its relatives need products of T with
∂f/∂T and nothing else, so every family of models is one subclass of `LastStage`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from cdam_bench.backbones.heads import blocks_read
from cdam_bench.backbones.last_block import LastBlock
from cdam_bench.backbones.vit_blocks import tokens_and_cls


@dataclass(frozen=True)
class LastTokens:
    """T of B images, and what else their outputs are computed from.

    Args:
        tokens: T (B, L, D), prefix tokens first, then the grid's, row by row.
        around: what passes by T, each part (B, …).
        grid: its rows and columns.
        arguments: further ones of the block that T is in; the same for all images.
    """

    tokens: Tensor
    around: tuple[Tensor, ...]
    grid: tuple[int, int]
    arguments: Any = None

    def of_image(self, index: int) -> "LastTokens":
        """Those of one image, as a batch of one."""
        one = slice(index, index + 1)
        return replace(self, tokens=self.tokens[one], around=tuple(part[one] for part in self.around))

    def moved_to(self, tokens: Tensor) -> "LastTokens":
        """Of one image: n other sets of tokens (n, L, D) in the place of its own."""
        around = tuple(part.expand(len(tokens), *part.shape[1:]) for part in self.around)
        return replace(self, tokens=tokens, around=around)


class LastStage(ABC):
    """Views of a model and its head; holds no values of its own.

    Attributes:
        num_prefix_tokens: how many of T's tokens stand before the grid's.
        feature_shape: of what the head reads, for one image.
    """

    num_prefix_tokens: int
    feature_shape: tuple[int, ...]

    @abstractmethod
    def read(self, images: Tensor) -> LastTokens:
        """Run the model up to T, for images (B, 3, H, W) on its device."""

    @abstractmethod
    def features(self, at: LastTokens) -> Tensor:
        """What the head reads (B, …), from T on; differentiable."""

    @abstractmethod
    def products(self, at: LastTokens, targets: Tensor, values: Tensor | None = None) -> Tensor:
        """Σ_j V_ij · ∂f/∂T_ij for K targets.

        Args:
            at: T.
            targets: (B, K).
            values: V (B, L, D); None: V = T, as CDAM has it.
        Returns:
            (B, K, L). What they are for prefix tokens is left to the subclass.
        """

    @abstractmethod
    def mean_gradient(self, at: LastTokens, targets: Tensor) -> Tensor:
        """Mean of ∂f/∂T_i over the tokens of the grid: (B, K, D)."""

    @abstractmethod
    def path_products(
        self, at: LastTokens, targets: Tensor, alphas: Tensor, weights: Tensor, every_token: bool = False
    ) -> Tensor:
        """Σ_n w_n Σ_j T_ij · ∂f/∂T_ij(α_n T) for one image: Integrated CDAM's quadrature.

        Args:
            at: T of one image.
            targets: (K,).
            alphas, weights: α and w (n,).
            every_token: the scores of prefix tokens must be complete, too.
        Returns:
            (K, L).
        """


class ClsStage(LastStage):
    """A ViT whose head reads [CLS] alone: the closed form of `LastBlock`. Products for [CLS] lack its query's part.

    Args:
        vit: timm VisionTransformer of standard blocks.
        head: reads [CLS] of the last n blocks.
    """

    def __init__(self, vit: Any, head: nn.Module) -> None:
        self.vit, self.last = vit, LastBlock(vit, head)
        self.num_prefix_tokens = vit.num_prefix_tokens
        self.feature_shape = (blocks_read(head) * vit.embed_dim,)

    def read(self, images: Tensor) -> LastTokens:
        residual, cls_stream = tokens_and_cls(self.vit, images, self.last.blocks_read)
        return LastTokens(self.last.normalised(residual), (cls_stream,), self.vit.patch_embed.grid_size)

    def features(self, at: LastTokens) -> Tensor:
        return self.last.readout(self.last.attend(at.tokens).outputs, *at.around)

    def products(self, at: LastTokens, targets: Tensor, values: Tensor | None = None) -> Tensor:
        seen = self.last.attend(at.tokens)
        gradients = self.last.output_gradients(seen.outputs, *at.around, targets)
        return self.last.gradient_products(seen, gradients, values)

    def mean_gradient(self, at: LastTokens, targets: Tensor) -> Tensor:
        seen = self.last.attend(at.tokens)
        gradients = self.last.output_gradients(seen.outputs, *at.around, targets)
        return self.last.mean_token_gradient(seen, gradients, self.num_prefix_tokens)

    def path_products(
        self, at: LastTokens, targets: Tensor, alphas: Tensor, weights: Tensor, every_token: bool = False
    ) -> Tensor:
        """Every point of the path is α·T, so its products with any vectors are α times those of T, which is read once per
        product and never copied."""
        last, tokens, cls_stream = self.last, at.tokens[0], at.around[0][0]
        count = len(alphas)
        scale = alphas[:, None, None]
        query = torch.einsum("nD,hdD->nhd", alphas[:, None] * tokens[0], last.w_q) + last.b_q
        directions = last.key_directions(query)  # (n, H, D)
        scores = _products(directions, tokens)  # u(α)·T, (n, H, P + N)
        attention = (scale * scores).softmax(-1)
        pooled = (attention.flatten(0, 1) @ tokens).reshape(directions.shape)
        outputs = last.head_outputs(scale * pooled)
        gradients = last.output_gradients(outputs, cls_stream.expand(count, -1, -1), targets.expand(count, -1))
        value_directions = last.value_directions(gradients)  # (n, K, H, D)
        projected = _products(value_directions, tokens)  # w(α)·T, (n, K, H, P + N)
        attention, scores = attention[:, None], scores[:, None]
        mean = (attention * projected).sum(-1, keepdim=True)
        key_part = attention * (projected - mean) * scale[:, None]  # ∂f/∂scores at α·T
        per_step = torch.addcmul(attention * projected, key_part, scores).sum(2)  # (n, K, P + N)
        if every_token:  # [CLS] is also the query
            pooled = (key_part.flatten(0, 2) @ tokens).reshape(value_directions.shape) * scale[:, None]
            query_gradient = torch.einsum("nkhD,hdD->nkhd", pooled, last.w_k) * last.scale
            moved = torch.einsum("D,hdD->hd", tokens[0], last.w_q)
            per_step[:, :, 0] += (query_gradient * moved).sum((-2, -1))
        return torch.einsum("n,nkt->kt", weights, per_step)


def _products(directions: Tensor, tokens: Tensor) -> Tensor:
    """Directions (..., D) times tokens (T, D): (..., T)."""
    return (directions.flatten(0, -2) @ tokens.T).reshape(*directions.shape[:-1], -1)
