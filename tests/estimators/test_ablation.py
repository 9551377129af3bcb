"""Token ablation in both readings against one token after another."""

import pytest
import torch

from cdam_bench.errors import UserError
from cdam_bench.estimators import PatchAblation, TokenAblation
from tests.agreement import assert_agree
from tests.reference.ablation import patch_ablation, token_ablation
from tests.reference.model import for_each


def test_token_ablation_equals_masking_each_token_in_the_attention_of_all_blocks(
    any_backbone, any_textbook, images, targets
):
    expected = for_each(token_ablation, any_textbook, images, targets).unflatten(-1, (4, 6))
    assert_agree(TokenAblation().token_scores(any_backbone, images, targets), expected)


def test_patch_ablation_equals_blurring_each_patch(any_backbone, any_textbook, images, targets):
    expected = for_each(lambda *one: patch_ablation(*one, 0.1 * 32), any_textbook, images, targets).unflatten(
        -1, (4, 6)
    )
    assert_agree(PatchAblation(blur=0.1).token_scores(any_backbone, images, targets), expected)


def test_patch_ablation_with_a_blur_wider_than_the_image_equals_blurring_each_patch(
    backbone, textbook, images, targets
):
    expected = for_each(lambda *one: patch_ablation(*one, 32.0), textbook, images, targets).unflatten(-1, (4, 6))
    assert_agree(PatchAblation(blur=1).token_scores(backbone, images, targets), expected)


def test_without_a_blur_no_patch_matters(backbone, images, targets):
    maps = PatchAblation(blur=0).attribute(backbone, images, targets)
    torch.testing.assert_close(maps, torch.zeros_like(maps), atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", [TokenAblation, PatchAblation])
def test_ablation_is_the_same_for_every_internal_batch_size(backbone, images, targets, method):
    whole, parts = (method(internal_batch_size=n).attribute(backbone, images, targets) for n in (64, 5))
    assert_agree(parts, whole, 1e-5)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: TokenAblation(internal_batch_size=0), "internal_batch_size=0"),
        (lambda: PatchAblation(blur=-0.1), "blur=-0.1"),
        (lambda: PatchAblation(internal_batch_size=0), "internal_batch_size=0"),
    ],
)
def test_numbers_that_cannot_be_are_refused(make, key):
    with pytest.raises(UserError, match=key):
        make()
