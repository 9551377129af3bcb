"""AGCAM against full matrices and autograd."""

from cdam_bench.backbones import Backbone
from cdam_bench.estimators import AGCAM
from tests.agreement import assert_agree
from tests.conftest import random_vit
from tests.reference.agcam import agcam
from tests.reference.model import for_each, textbook_model


def test_agcam_equals_gradients_and_scores_of_the_matrices(any_backbone, any_textbook, images, targets):
    expected = for_each(agcam, any_textbook, images, targets).unflatten(-1, (4, 6))
    assert_agree(AGCAM().token_scores(any_backbone, images, targets), expected)


def test_agcam_of_a_single_block_equals_gradients_and_scores_of_its_matrix(images, targets):
    vit = random_vit(depth=1)
    expected = for_each(agcam, textbook_model(vit), images, targets).unflatten(-1, (4, 6))
    assert_agree(AGCAM().token_scores(Backbone(vit), images, targets), expected)
