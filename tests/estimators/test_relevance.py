"""Relevance Propagation and Partial LRP against their rules written out with full matrices."""

import copy

import pytest
import torch
from timm.layers import GluMlp
from torch import nn

from cdam_bench.backbones import Backbone, ConceptHead
from cdam_bench.errors import UserError
from cdam_bench.estimators import PartialLRP, RelevancePropagation
from cdam_bench.estimators.relevance import linear_relevance
from tests.agreement import assert_agree
from tests.conftest import random_images, random_vit
from tests.reference.model import for_each, textbook_model
from tests.reference.relevance import linear_rule, partial_lrp, relevance_propagation


def test_relevance_propagation_equals_the_matrix_recursion(any_backbone, any_textbook, images, targets):
    expected = for_each(relevance_propagation, any_textbook, images, targets).unflatten(-1, (4, 6))
    assert_agree(RelevancePropagation().token_scores(any_backbone, images, targets), expected)


def test_relevance_propagation_of_a_single_block_equals_the_matrix_recursion(images, targets):
    vit = random_vit(depth=1)
    expected = for_each(relevance_propagation, textbook_model(vit), images, targets).unflatten(-1, (4, 6))
    assert_agree(RelevancePropagation().token_scores(Backbone(vit), images, targets), expected)


def test_partial_lrp_equals_its_rules_over_all_tokens(any_vit, any_textbook, images, targets):
    """In double precision throughout, because the rule for sums amplifies rounding where their terms nearly cancel."""
    expected = for_each(partial_lrp, any_textbook, images, targets).unflatten(-1, (4, 6))
    backbone = Backbone(copy.deepcopy(any_vit)).double()
    assert_agree(PartialLRP().token_scores(backbone, images.double(), targets), expected, 1e-6)


def test_partial_lrp_in_single_precision_is_near_its_rules(any_backbone, any_textbook, images, targets):
    expected = for_each(partial_lrp, any_textbook, images, targets).unflatten(-1, (4, 6))
    assert_agree(PartialLRP().token_scores(any_backbone, images, targets), expected, 1e-3)


@pytest.fixture(scope="module")
def many_images():
    """So many that in some of them the terms of a sum nearly cancel: single precision is off by more than 0.1 %."""
    return random_images(60, seed=7)


def test_partial_lrp_does_not_depend_on_the_batch_where_the_terms_of_a_sum_cancel(backbone, many_images):
    targets = backbone.logits(many_images).argmax(1)
    together = PartialLRP().token_scores(backbone, many_images, targets)
    parts = zip(many_images.split(1), targets.split(1), strict=True)
    assert_agree(torch.cat([PartialLRP().token_scores(backbone, *part) for part in parts]), together, 1e-5)


def test_partial_lrp_in_double_precision_is_exact_where_the_terms_of_a_sum_cancel(vit, many_images):
    images = many_images
    backbone = Backbone(copy.deepcopy(vit))
    targets = backbone.logits(images).argmax(1, keepdim=True)
    expected = for_each(partial_lrp, textbook_model(vit), images, targets).unflatten(-1, (4, 6))
    actual = PartialLRP().token_scores(backbone.double(), images.double(), targets)
    assert_agree(actual, expected, 1e-6)


def test_partial_lrp_of_a_concepts_dot_product_equals_that_of_a_linear_head(vit, images, targets):
    vectors = torch.randn(7, vit.embed_dim, generator=torch.Generator().manual_seed(6))
    linear = nn.Linear(vit.embed_dim, 7, bias=False)
    linear.weight.data.copy_(vectors)
    expected = for_each(partial_lrp, textbook_model(vit, linear), images, targets).unflatten(-1, (4, 6))
    backbone = Backbone(copy.deepcopy(vit), ConceptHead(vectors)).double()
    assert_agree(PartialLRP().token_scores(backbone, images.double(), targets), expected, 1e-6)


def test_the_linear_rule_doubles_relevance_when_both_signs_are_present():
    generator = torch.Generator().manual_seed(7)
    weight, inputs = torch.randn(5, 9, generator=generator), torch.randn(1, 9, generator=generator)
    relevance = torch.rand(1, 5, generator=generator)
    passed_on = linear_relevance(weight, inputs, relevance)
    assert_agree(passed_on, linear_rule(weight.double(), inputs.double(), relevance.double()))
    torch.testing.assert_close(passed_on.sum(), 2 * relevance.sum(), rtol=1e-5, atol=0)


def test_the_linear_rule_passes_nothing_through_a_branch_without_input():
    weight, inputs = torch.tensor([[1.0, 2.0], [-1.0, -2.0]]), torch.tensor([[3.0, 0.0]])
    passed_on = linear_relevance(weight, inputs, torch.tensor([[1.0, 1.0]]))
    torch.testing.assert_close(passed_on, torch.tensor([[1.0, 0.0]]))


def test_partial_lrp_refuses_a_gated_mlp_that_its_rules_do_not_cover(images, targets):
    backbone = Backbone(random_vit(mlp_layer=GluMlp))
    with pytest.raises(UserError, match="Partial LRP"):
        PartialLRP().token_scores(backbone, images, targets)
