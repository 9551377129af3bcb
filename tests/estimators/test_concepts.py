"""Concepts: any differentiable similarity is explained like a class."""

import copy

import pytest
import torch

from cdam_bench.backbones import Backbone, ConceptHead
from cdam_bench.estimators import CDAM, IntegratedCDAM, RelevancePropagation
from tests.agreement import assert_agree
from tests.reference.cdam import cdam, integrated_cdam
from tests.reference.model import for_each, patches_only, textbook_model
from tests.reference.relevance import relevance_propagation


class TextbookSimilarity(torch.nn.Module):
    """Similarity of the [CLS] latent to concepts, by torch's own functions."""

    def __init__(self, vectors, similarity):
        super().__init__()
        self.register_buffer("vectors", vectors.double())
        self.similarity = similarity

    def forward(self, features):
        if self.similarity == "dot":
            return torch.stack([features @ vector for vector in self.vectors], -1)
        if self.similarity == "cosine":
            return torch.nn.functional.cosine_similarity(features[:, None], self.vectors[None], dim=-1)
        return -torch.cdist(features, self.vectors)


@pytest.mark.parametrize("similarity", ["dot", "cosine", "neg_l2"])
@pytest.mark.parametrize(
    ("estimator", "method"),
    [(CDAM(), cdam), (IntegratedCDAM(), integrated_cdam), (RelevancePropagation(), relevance_propagation)],
    ids=["cdam", "integrated_cdam", "relevance_propagation"],
)
def test_maps_of_concepts_equal_autograd_of_the_similarity(vit, images, similarity, estimator, method):
    vectors = torch.randn(4, vit.embed_dim, generator=torch.Generator().manual_seed(5))
    targets = torch.tensor([[1, 3], [0, 2]])
    backbone = Backbone(copy.deepcopy(vit), ConceptHead(vectors, similarity))
    model = textbook_model(vit, TextbookSimilarity(vectors, similarity))

    def expected(model, image, target):
        scores = method(model, image, target)
        return scores if len(scores) == model.patch_embed.num_patches else patches_only(model, scores)

    actual = estimator.token_scores(backbone, images, targets).flatten(2)
    assert_agree(actual[..., None], for_each(expected, model, images, targets)[..., None])
