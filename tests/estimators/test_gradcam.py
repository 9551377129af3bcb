"""GradCAM against pytorch-grad-cam and against autograd."""

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM as LibraryGradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from cdam_bench.estimators import GradCAM
from tests.agreement import assert_agree
from tests.conftest import IMAGE_SIZE, NUM_CLASSES, PATCH_SIZE
from tests.reference.gradcam import gradcam, gradcam_before_relu
from tests.reference.model import for_each


def test_gradcam_equals_autograd(any_backbone, any_textbook, images):
    targets = torch.arange(NUM_CLASSES).expand(len(images), -1)
    expected = for_each(gradcam, any_textbook, images, targets).unflatten(-1, (4, 6))
    actual = GradCAM().token_scores(any_backbone, images, targets)
    # where nearly all evidence is negative, the relu leaves a small remainder: it is as exact as what it was taken from
    scale = for_each(gradcam_before_relu, any_textbook, images, targets).abs().amax(-1)
    positive = expected.flatten(2).amax(-1) > 0.1 * scale
    assert positive.float().mean() > 0.5
    assert_agree(actual[positive], expected[positive])
    assert ((actual - expected).abs().flatten(2).amax(-1) <= 1e-4 * scale).all()


@pytest.mark.parametrize("target", range(NUM_CLASSES))
def test_gradcam_equals_pytorch_grad_cam_up_to_its_rescaling(vit, backbone, images, target):
    rows, columns = (side // PATCH_SIZE for side in IMAGE_SIZE)

    def patches_as_channels_first(tokens):
        return tokens[:, vit.num_prefix_tokens :].reshape(len(tokens), rows, columns, -1).permute(0, 3, 1, 2)

    # its gradient hooks need a graph, which a frozen model alone does not build
    library = LibraryGradCAM(vit, [vit.blocks[-1].norm1], reshape_transform=patches_as_channels_first)
    inputs = images.clone().requires_grad_()
    library(inputs, [ClassifierOutputTarget(target)] * len(images))
    activations, gradients = (
        values[0].numpy()
        for values in (library.activations_and_grads.activations, library.activations_and_grads.gradients)
    )
    unscaled = library.get_cam_image(inputs, None, None, activations, gradients)
    expected = np.maximum(unscaled, 0)
    actual = GradCAM().token_scores(backbone, images, torch.full((len(images),), target))
    for ours, theirs in zip(actual, expected, strict=True):
        if theirs.max() > 0:
            assert_agree(ours / ours.max(), theirs / theirs.max())
        else:
            assert (ours == 0).all()
