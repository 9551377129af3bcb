"""Transformer Attribution against its rules written out with full matrices."""

import copy

import pytest
import torch
from timm.layers import GluMlp
from torch import nn

from cdam_bench.backbones import Backbone, ConceptHead
from cdam_bench.errors import UserError
from cdam_bench.estimators import TransformerAttribution
from cdam_bench.estimators.transformer_attribution import positive_rule, split_sum
from tests.agreement import assert_agree, relative_errors
from tests.conftest import random_images, random_vit
from tests.reference.model import for_each, textbook_model
from tests.reference.transformer_attribution import transformer_attribution


def test_transformer_attribution_equals_its_rules_over_all_tokens(any_vit, any_textbook, images, targets):
    """In double precision, because the rule for sums amplifies rounding where their terms nearly cancel."""
    expected = for_each(transformer_attribution, any_textbook, images, targets).unflatten(-1, (4, 6))
    backbone = Backbone(copy.deepcopy(any_vit)).double()
    assert_agree(TransformerAttribution().token_scores(backbone, images.double(), targets), expected)


def test_transformer_attribution_of_a_single_block_equals_its_rules(images, targets):
    vit = random_vit(depth=1)
    expected = for_each(transformer_attribution, textbook_model(vit), images, targets).unflatten(-1, (4, 6))
    assert_agree(TransformerAttribution().token_scores(Backbone(vit).double(), images.double(), targets), expected)


def test_transformer_attribution_of_a_concepts_dot_product_equals_that_of_a_linear_head(vit, images, targets):
    vectors = torch.randn(7, vit.embed_dim, generator=torch.Generator().manual_seed(6))
    linear = nn.Linear(vit.embed_dim, 7, bias=False)
    linear.weight.data.copy_(vectors)
    expected = for_each(transformer_attribution, textbook_model(vit, linear), images, targets).unflatten(-1, (4, 6))
    backbone = Backbone(copy.deepcopy(vit), ConceptHead(vectors)).double()
    assert_agree(TransformerAttribution().token_scores(backbone, images.double(), targets), expected)


def test_transformer_attribution_in_single_precision_is_near_its_rules_for_most_images(vit):
    images = random_images(20, seed=7)
    backbone = Backbone(copy.deepcopy(vit))
    targets = backbone.logits(images).argmax(1)
    single = TransformerAttribution().token_scores(backbone, images, targets)
    exact = TransformerAttribution().token_scores(backbone.double(), images.double(), targets)
    assert relative_errors(single, exact).median() < 1e-3


def test_transformer_attribution_does_not_depend_on_batch_or_other_targets(backbone):
    images, targets = random_images(12, seed=7), torch.arange(24).reshape(12, 2) % 7
    together = TransformerAttribution().token_scores(backbone, images, targets)
    alone = [TransformerAttribution().token_scores(backbone, images[b : b + 1], targets[b : b + 1]) for b in range(12)]
    apart = [TransformerAttribution().token_scores(backbone, images, targets[:, k]) for k in range(2)]
    assert_agree(torch.cat(alone), together, 1e-5)
    assert_agree(torch.stack(apart, 1), together, 1e-5)


def test_the_linear_rule_conserves_relevance_and_uses_positive_products_alone():
    weight, inputs = torch.tensor([[1.0, -2.0, 3.0]]), torch.tensor([[2.0, -1.0, -5.0]])
    # products 2, 2 and −15: the first two share the relevance equally
    torch.testing.assert_close(positive_rule(weight, inputs, torch.tensor([[6.0]])), torch.tensor([[3.0, 3.0, 0.0]]))


def test_the_rule_for_sums_splits_relevance_by_the_size_of_its_parts_and_keeps_their_sum():
    a, b = torch.tensor([[3.0, -1.0]]), torch.tensor([[-1.0, 2.0]])
    # in proportion: (3, −1) and (−1, 2) times R = (2, 1) over (2, 1): sums 2 and 1; both scaled to 2/3 and 1/3 of 3
    first, second = split_sum(a, b, torch.tensor([[2.0, 1.0]]))
    torch.testing.assert_close(first, torch.tensor([[3.0, -1.0]]))
    torch.testing.assert_close(second, torch.tensor([[-1.0, 2.0]]))
    # sums 3 and −1 of R = (2, 0): sizes 3 : 1, so 1.5 and 0.5
    first, second = split_sum(a, b, torch.tensor([[2.0, 0.0]]))
    torch.testing.assert_close(first, torch.tensor([[1.5, 0.0]]))
    torch.testing.assert_close(second, torch.tensor([[0.5, 0.0]]))


def test_transformer_attribution_refuses_a_gated_mlp_that_its_rules_do_not_cover(images, targets):
    with pytest.raises(UserError, match="no rule for the GluMlp"):
        TransformerAttribution().token_scores(Backbone(random_vit(mlp_layer=GluMlp)), images, targets)
