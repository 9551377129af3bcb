"""Deep CDAM: CDAM summed over several blocks."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.errors import UserError, require, require_count, require_whole, unknown_name
from cdam_bench.estimators.base import TokenEstimator
from cdam_bench.estimators.rules import CONSERVATIVE, PLAIN, backward_through_blocks

GRADIENTS = {"plain": PLAIN, "conservative": CONSERVATIVE}


class DeepCDAM(TokenEstimator):
    """S_i = Σ_b Σ_j T^b_ij · ∂f_c/∂T^b_ij over blocks b, T^b the tokens after the norm1 of block b; signed.

    With the conservative gradient the scores of a block, summed over all its tokens, are what its attention adds to the output
    through everything that follows (less what its value bias adds): Σ_i S^b_i = Σ_i ⟨o^b_i − b_v, ∂f_c/∂o^b_i⟩ with o^b the heads'
    outputs. With the plain one and the last block alone it is CDAM.

    Args:
        blocks: "all"; n or "last=n": the last n; or a list of their numbers, from 0.
        gradient: "plain", or "conservative": attention weights, LayerNorm's standard deviation and the activation's gate
            (Φ(x) for GELU) are held constant in the backward pass.
    Cost: under 4 forward passes for one target and all blocks.
    Source: this project's; the conservative rules are those of Mehri et al. 2025 (LibraGrad).
    """

    signed = True
    class_aware = True

    def __init__(self, blocks: str | int | Sequence[int] = "all", gradient: str = "conservative") -> None:
        if gradient not in GRADIENTS:
            raise unknown_name("gradient", gradient, GRADIENTS)
        self.rules = GRADIENTS[gradient]
        self.blocks = _checked(blocks)

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        wanted = self._indices(len(backbone.vit.blocks))
        total = torch.zeros(())
        for gradients in backward_through_blocks(backbone, images, targets, self.rules):
            if gradients.index in wanted:
                total = total + torch.einsum("btd,bktd->bkt", gradients.tokens, gradients.at_tokens)
            if gradients.index == min(wanted):
                break
        return total[..., backbone.num_prefix_tokens :]

    def _indices(self, depth: int) -> set[int]:
        """The blocks' numbers in a ViT of `depth` blocks."""
        if isinstance(self.blocks, str):  # all
            return set(range(depth))
        if isinstance(self.blocks, int):
            require(self.blocks <= depth, f"blocks=last={self.blocks}: the ViT has {depth} blocks")
            return set(range(depth - self.blocks, depth))
        require(max(self.blocks) < depth, f"blocks={list(self.blocks)}: the ViT has blocks 0…{depth - 1}")
        return set(self.blocks)


def _checked(blocks: str | int | Sequence[int]) -> str | int | tuple[int, ...]:
    """ "all", n for "last=n", or the list of blocks."""
    if isinstance(blocks, int):
        return require_count("blocks", blocks)
    if isinstance(blocks, str):
        last = re.fullmatch(r"last=([1-9]\d*)", blocks)
        if blocks != "all" and last is None:
            raise UserError(
                f"blocks={blocks} is unknown: use all, a number n for the last n, or a list of blocks, from 0"
            )
        return int(last[1]) if last else blocks
    require(len(blocks) > 0, "blocks=[]: name at least one block")
    return tuple(require_whole("blocks", index) for index in blocks)
