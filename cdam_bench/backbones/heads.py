"""Heads: from the [CLS] latent to outputs that can be explained."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdam_bench.errors import UserError, require

SIMILARITIES = ("dot", "cosine", "neg_l2")


class LinearHead(nn.Linear):
    """The linear classifier on [CLS]: outputs are class logits."""


class ConceptHead(nn.Module):
    """Similarity of the [CLS] latent to K concept vectors; a head like any other, so concepts are targets.

    Args:
        vectors: (K, D), one mean latent per concept.
        similarity: "dot" (the paper), "cosine" or "neg_l2" (negative Euclidean distance).
        names: K names of the concepts; None: their numbers.
        examples: digests of the images the vectors are means of (`cdam_bench.concepts.digest_of`), so that a run can warn
            when it explains one of them.
    Raises:
        UserError: for vectors of the wrong shape or an unknown similarity.
    Source: Brocki et al. 2024, concepts.
    """

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
    """Several heads that read the same features: the outputs of the first, then those of the second, and so on."""

    def __init__(self, *heads: nn.Module) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, features: Tensor) -> Tensor:
        """(B, D) → (B, all outputs)."""
        return torch.cat([head(features) for head in self.heads], -1)
