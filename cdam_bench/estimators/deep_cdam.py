"""Deep CDAM: CDAM summed over several blocks. What it is a sum of: docs/closed_form.md."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.errors import UserError, require, require_count, require_whole, unknown_name
from cdam_bench.estimators.base import TokenEstimator
from cdam_bench.estimators.rules import CONSERVATIVE, PLAIN, BlockGradients, Rules, backward_through_blocks

GRADIENTS = {"plain": PLAIN, "conservative": CONSERVATIVE}
Blocks = str | int | Sequence[int]


class DeepCDAM(TokenEstimator):
    """S_i = Σ_b Σ_j T^b_ij · ∂f_c/∂T^b_ij over blocks b, T^b the tokens after the norm1 of block b; signed.

    With the plain gradient it is the derivative of the output with respect to a factor on token i that all these blocks' attentions
    read, and with the last block alone it is CDAM. With the conservative one the scores of a block, summed over all its tokens, are
    what its attention adds to the output through everything that follows, less what its value bias adds.

    Args:
        blocks: "all"; "half": the later half, rounded up; n or "last=n": the last n; or a list of their numbers, from 0.
        gradient: "plain", or "conservative": attention weights, LayerNorm's standard deviation and the activation's gate
            (Φ(x) for GELU) are held constant in the backward pass.
    Cost: under 4 forward passes for one target and all blocks.
    Source: this project's; the conservative rules are those of Mehri et al. 2025 (LibraGrad). Defaults: docs/deep_cdam.md.
    """

    signed = True
    class_aware = True

    def __init__(self, blocks: Blocks = "all", gradient: str = "conservative") -> None:
        self.blocks, self.rules = checked_blocks(blocks), rules_of(gradient)

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        chosen = block_indices(self.blocks, len(backbone.vit.blocks))
        backward = backward_through_blocks(backbone, images, targets, self.rules)
        total = sum(torch.einsum("btd,bktd->bkt", at.tokens, at.at_tokens) for at in at_blocks(backward, chosen))
        return torch.as_tensor(total)[..., backbone.num_prefix_tokens :]


def at_blocks(backward: Iterable[BlockGradients], chosen: Collection[int]) -> Iterator[BlockGradients]:
    """The gradients at the chosen blocks; the backward pass ends at the first of them."""
    for gradients in backward:
        if gradients.index in chosen:
            yield gradients
        if gradients.index == min(chosen):
            return


def rules_of(gradient: str) -> Rules:
    """Rules of the "plain" or the "conservative" gradient; UserError for another."""
    if gradient not in GRADIENTS:
        raise unknown_name("gradient", gradient, GRADIENTS)
    return GRADIENTS[gradient]


def checked_blocks(blocks: Blocks) -> str | int | tuple[int, ...]:
    """ "all", "half", n for "last=n", or the list of blocks; UserError for anything else."""
    if isinstance(blocks, int):
        return require_count("blocks", blocks)
    if isinstance(blocks, str):
        last = re.fullmatch(r"last=([1-9]\d*)", blocks)
        if blocks not in ("all", "half") and last is None:
            raise UserError(
                f"blocks={blocks} is unknown: use all, half, a number n for the last n, or a list of blocks, from 0"
            )
        return int(last[1]) if last else blocks
    require(len(blocks) > 0, "blocks=[]: name at least one block")
    return tuple(require_whole("blocks", index) for index in blocks)


def block_indices(blocks: str | int | tuple[int, ...], depth: int) -> set[int]:
    """The numbers of `checked_blocks` in a ViT of `depth` blocks; UserError for those it lacks."""
    if isinstance(blocks, str):
        blocks = depth if blocks == "all" else (depth + 1) // 2
    if isinstance(blocks, int):
        require(blocks <= depth, f"blocks=last={blocks}: the ViT has {depth} blocks")
        return set(range(depth - blocks, depth))
    require(max(blocks) < depth, f"blocks={list(blocks)}: the ViT has blocks 0…{depth - 1}")
    return set(blocks)
