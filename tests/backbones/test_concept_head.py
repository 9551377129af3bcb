"""ConceptHead: the three similarities, by hand."""

import pytest
import torch

from cdam_bench.backbones import ConceptHead
from cdam_bench.errors import UserError

FEATURES = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
CONCEPTS = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, -2.0]])


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [
        ("dot", [[3.0, 25.0, -8.0], [0.0, 8.0, -4.0]]),
        ("cosine", [[0.6, 1.0, -0.8], [0.0, 0.8, -1.0]]),
        ("neg_l2", [[-(20**0.5), 0.0, -(45**0.5)], [-(5**0.5), -(13**0.5), -4.0]]),
    ],
)
def test_similarities_equal_those_calculated_by_hand(similarity, expected):
    actual = ConceptHead(CONCEPTS, similarity)(FEATURES)
    torch.testing.assert_close(actual, torch.tensor(expected), rtol=1e-5, atol=2e-6)


def test_the_distance_from_a_concepts_own_latent_has_a_finite_gradient():
    features = CONCEPTS[:1].clone().requires_grad_()
    ConceptHead(CONCEPTS, "neg_l2")(features)[0, 0].backward()
    assert features.grad.isfinite().all()


def test_the_head_does_not_change_with_the_vectors_it_was_made_from():
    vectors = CONCEPTS.clone()
    head = ConceptHead(vectors)
    vectors.zero_()
    assert torch.equal(head.vectors, CONCEPTS)


def test_an_unknown_similarity_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match="dot, cosine, neg_l2"):
        ConceptHead(CONCEPTS, "euclid")


def test_a_single_vector_is_refused_with_the_expected_shape():
    with pytest.raises(UserError, match=r"\(K, D\)"):
        ConceptHead(CONCEPTS[0])
