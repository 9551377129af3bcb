"""Heads: from the [CLS] latent to outputs that can be explained."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdam_bench.errors import UserError, require

SIMILARITIES = ("dot", "cosine", "neg_l2")


def blocks_read(head: nn.Module) -> int:
    """How many blocks' [CLS] latents a head reads, side by side: its attribute `blocks_read`, or the last block's alone."""
    return getattr(head, "blocks_read", 1)


def reads_mean(head: nn.Module) -> bool:
    """Whether a head gets the mean patch token of the last block after the [CLS] latents: its attribute `reads_mean`."""
    return getattr(head, "reads_mean", False)


def reads_pair(head: nn.Module) -> bool:
    """Whether a head gets the first two tokens side by side, [CLS] and the distillation token: its attribute `reads_pair`."""
    return getattr(head, "reads_pair", False)


class LinearHead(nn.Linear):
    """The linear classifier on [CLS]: outputs are class logits.

    Args:
        in_features: D for a head that reads the last [CLS] latent; n·D for one that reads those of the last n blocks; D more with
            the mean.
        out_features: classes.
        bias: whether it has one.
        blocks_read: n. DINO's official classifiers for ViT-S read 4.
        reads_mean: it reads the mean patch token of the last block, too, after the latents, as DINOv2's do.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, blocks_read: int = 1, reads_mean: bool = False
    ) -> None:
        super().__init__(in_features, out_features, bias)
        self.blocks_read, self.reads_mean = blocks_read, reads_mean


class DistilledHeads(nn.Module):
    """The two classifiers of a distilled DeiT, averaged: one reads [CLS], one the distillation token.

    Source: Touvron et al. 2021, "Training data-efficient image transformers & distillation through attention".
    """

    reads_pair = True

    def __init__(self, head: nn.Module, head_dist: nn.Module) -> None:
        super().__init__()
        self.head, self.head_dist = head, head_dist

    def forward(self, features: Tensor) -> Tensor:
        """(B, 2·D) → (B, C)."""
        first, second = features.chunk(2, -1)
        return (self.head(first) + self.head_dist(second)) / 2


class ConceptHead(nn.Module):
    """Similarity of the [CLS] latent to K concept vectors; a head like any other, so concepts are targets.

    Args:
        vectors: (K, D), one mean latent per concept.
        similarity: "dot" (the paper), "cosine" or "neg_l2" (negative Euclidean distance).
        names: K names of the concepts; None: their numbers.
        examples: digests of the images the vectors are means of (`cdam_bench.datasets.concepts.digest_of`), so that a run can warn
            when it explains one of them.
    Raises:
        UserError: for vectors of the wrong shape or an unknown similarity.
    Source: Brocki et al. 2024, concepts.
    """

    output_kind = "concepts"

    def __init__(
        self,
        vectors: Tensor,
        similarity: str = "dot",
        names: Sequence[str] | None = None,
        examples: Iterable[str] = (),
    ) -> None:
        super().__init__()
        require(vectors.ndim == 2, f"concept vectors of shape {tuple(vectors.shape)}: expected (K, D)")
        if similarity not in SIMILARITIES:
            raise UserError(f"similarity={similarity} is unknown: use one of {', '.join(SIMILARITIES)}")
        self.vectors: Tensor
        self.register_buffer("vectors", vectors.detach().clone().float())
        self.similarity = similarity
        self.names = tuple(map(str, range(len(vectors)))) if names is None else tuple(names)
        require(len(self.names) == len(vectors), f"{len(self.names)} names for {len(vectors)} concept vectors")
        self.examples = frozenset(examples)

    def forward(self, features: Tensor) -> Tensor:
        """(B, D) → (B, K)."""
        if self.similarity == "dot":
            return features @ self.vectors.T
        if self.similarity == "cosine":
            return F.normalize(features, dim=-1) @ F.normalize(self.vectors, dim=-1).T
        difference = features[:, None] - self.vectors
        # the distance has no gradient at 0; the floor keeps a concept's own example finite
        return -(difference.square().sum(-1) + 1e-12).sqrt()


class JoinedHeads(nn.Module):
    """Several heads side by side: the outputs of the first, then those of the second, and so on."""

    def __init__(self, *heads: nn.Module) -> None:
        super().__init__()
        special = any(reads_mean(head) or reads_pair(head) for head in heads)
        require(not special, "heads that read other tokens beside [CLS] cannot be joined with others")
        self.heads = nn.ModuleList(heads)
        self.blocks_read = max(map(blocks_read, heads))

    def forward(self, features: Tensor) -> Tensor:
        """(B, n·D), n the most blocks that one of them reads → (B, all outputs)."""
        width = features.shape[-1] // self.blocks_read
        return torch.cat([head(features[..., -width * blocks_read(head) :]) for head in self.heads], -1)
