"""Smooth and Integrated Deep CDAM: means of Deep CDAM over changes of what the attentions read.

Both change the tokens after norm1 of every chosen block, all of them in the same pass, and nothing else: the residual stream
goes on around the attentions. With plain gradients and the last block alone they are Smooth CDAM and Integrated CDAM. One image
runs at a time, as a batch of its changed copies: its noise must not depend on its neighbours.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.errors import require_count
from cdam_bench.estimators import noise
from cdam_bench.estimators.base import TokenEstimator, checked_inputs
from cdam_bench.estimators.deep_cdam import Blocks, at_blocks, block_indices, checked_blocks, rules_of
from cdam_bench.estimators.rules import (
    PLAIN,
    BlockGradients,
    Change,
    Rules,
    backward_from,
    changed_inputs,
    check_covered,
)


class SmoothDeepCDAM(TokenEstimator):
    """Mean of Deep CDAM over noisy tokens T^b + ε^b of all chosen blocks b, ε^b ~ N(0, σ_b²); signed.

    σ_b = noise_level · (max T^b − min T^b) of each image's own tokens. Noise is put where the gradient is taken, as in Smooth
    CDAM, and not into the pixels or the embedding: there the stream that goes around the attentions would be noisy too, and one
    level would mean another one in every block.

    Args:
        blocks, gradient: as in DeepCDAM.
        num_samples: noisy passes.
        noise_level: of the noise, as a share of the tokens' range in each block.
        multiply: what multiplies the gradient at the noisy tokens: "noisy" tokens or "clean" ones, those without any noise.
    Cost: about 3.5 · num_samples forward passes for one target and all blocks.
    Source: this project's, after Smooth CDAM.
    """

    signed = True
    class_aware = True

    def __init__(
        self,
        blocks: Blocks = "all",
        gradient: str = "conservative",
        num_samples: int = 50,
        noise_level: float = 0.05,
        multiply: str = "noisy",
    ) -> None:
        self.blocks, self.rules = checked_blocks(blocks), rules_of(gradient)
        self.num_samples, self.noise_level, self.multiply = noise.smoothing(num_samples, noise_level, multiply)

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        inputs = _block_inputs(backbone, images)
        rows = [
            self._scores_of_one(backbone, [x[b : b + 1] for x in inputs], targets[b], int(seeds[b]))
            for b in range(len(images))
        ]
        return torch.stack(rows)[..., backbone.num_prefix_tokens :]

    def _scores_of_one(self, backbone: Backbone, inputs: list[Tensor], targets: Tensor, seed: int) -> Tensor:
        """Stream (1, P + N, D) into each block, targets (K,) → (K, P + N)."""
        blocks: Any = backbone.vit.blocks
        chosen = block_indices(self.blocks, len(blocks))
        clean = {index: blocks[index].norm1(inputs[index]) for index in chosen}

        def noisy(index: int, tokens: Tensor) -> Tensor:
            if index not in clean:
                return tokens
            sigma = self.noise_level * (clean[index].max() - clean[index].min())
            # seeds of images have 32 bits: what is above them tells the blocks apart, and the last one has Smooth CDAM's noise
            own_seed = seed + ((len(blocks) - 1 - index) << 32)
            return tokens + noise.standard_normal(tuple(tokens.shape), own_seed, tokens.device).to(tokens.dtype) * sigma

        total = inputs[0].new_zeros(len(targets), inputs[0].shape[1])
        for at in _gradients(backbone, inputs, self.num_samples, targets, self.rules, chosen, noisy):
            if self.multiply == "noisy":
                total += torch.einsum("ntd,nktd->kt", at.tokens, at.at_tokens)
            else:
                total += torch.einsum("td,nktd->kt", clean[at.index][0], at.at_tokens)
        return total / self.num_samples


class IntegratedDeepCDAM(TokenEstimator):
    """S_i = ∫₀¹ Σ_b Σ_j T^b_ij(α) · ∂f_c/∂(α T^b_ij)(α) dα when all chosen blocks' attentions read α T^b in place of T^b; signed.

    T^b(α) is what the norm1 of block b gives on the way: earlier chosen blocks change it. By Gauss–Legendre quadrature. The sum
    over all tokens, prefix tokens included, is f_c less what f_c is when the chosen attentions read zeros. Gradients are plain:
    the conservative one is no derivative along a path, and nothing would be complete.

    Args:
        blocks: as in DeepCDAM.
        num_steps: points of the quadrature.
    Cost: about 3.5 · num_steps forward passes for one target and all blocks.
    Source: this project's, after Integrated CDAM.
    """

    signed = True
    class_aware = True

    def __init__(self, blocks: Blocks = "all", num_steps: int = 50) -> None:
        self.blocks, self.num_steps = checked_blocks(blocks), require_count("num_steps", num_steps)

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        return self._all_scores(backbone, images, targets)[..., backbone.num_prefix_tokens :]

    def all_token_scores(self, backbone: Backbone, images: Tensor, targets: Tensor) -> Tensor:
        """Scores (B, K, P + N) of all tokens, prefix tokens first, which sum to what is said above. Targets are (B, K)."""
        images, targets, _ = checked_inputs(backbone, images, targets, None)
        with torch.no_grad():
            return self._all_scores(backbone, images, targets)

    def _all_scores(self, backbone: Backbone, images: Tensor, targets: Tensor) -> Tensor:
        inputs = _block_inputs(backbone, images)
        nodes, weights = np.polynomial.legendre.leggauss(self.num_steps)
        alphas = torch.from_numpy((nodes + 1) / 2).to(inputs[0])
        weights = torch.from_numpy(weights / 2).to(inputs[0])
        rows = [
            self._scores_of_one(backbone, [x[b : b + 1] for x in inputs], targets[b], alphas, weights)
            for b in range(len(images))
        ]
        return torch.stack(rows)

    def _scores_of_one(
        self, backbone: Backbone, inputs: list[Tensor], targets: Tensor, alphas: Tensor, weights: Tensor
    ) -> Tensor:
        """Stream (1, P + N, D) into each block, targets (K,), quadrature (n,) → (K, P + N)."""
        chosen = block_indices(self.blocks, len(backbone.vit.blocks))

        def scaled(index: int, tokens: Tensor) -> Tensor:
            return alphas[:, None, None] * tokens if index in chosen else tokens

        total = inputs[0].new_zeros(len(targets), inputs[0].shape[1])
        for at in _gradients(backbone, inputs, self.num_steps, targets, PLAIN, chosen, scaled):
            # what is read is α T: the weight of T itself has 1 / α
            total += torch.einsum("n,ntd,nktd->kt", weights / alphas, at.tokens, at.at_tokens)
        return total


def _block_inputs(backbone: Backbone, images: Tensor) -> list[Tensor]:
    """Stream (B, P + N, D) that enters each block; UserError for blocks that no rule covers."""
    check_covered(backbone)
    return backbone.block_inputs(images)


def _gradients(
    backbone: Backbone,
    inputs: list[Tensor],
    copies: int,
    targets: Tensor,
    rules: Rules,
    chosen: set[int],
    change: Change,
) -> Iterator[BlockGradients]:
    """Gradients at the chosen blocks of copies of one image whose attentions read changed tokens.

    Args:
        backbone, rules, change: as in `backward_from`.
        inputs: stream (1, P + N, D) of the unchanged image into each block.
        copies: n, the batch of the changes.
        targets: (K,).
        chosen: blocks that read changed tokens.
    Yields:
        BlockGradients of batch n, last chosen block to first.
    """
    first = min(chosen)
    before = [x.expand(copies, -1, -1) for x in inputs[: first + 1]]  # nothing is changed yet
    changed = before[:-1] + changed_inputs(backbone, before[-1], first, change)
    backward = backward_from(backbone, changed, targets.expand(copies, -1), rules, change)
    return at_blocks(backward, chosen)
