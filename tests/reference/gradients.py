"""Gradients with respect to the pixels, colour channels summed: maps (H, W)."""

import torch
from scipy.special import roots_legendre


def pixel_gradient(model, image, target):
    """∂f_c/∂x (3, H, W)."""
    leaf = image.double().detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(leaf[None])[0, target], leaf)
    return gradient


def input_x_gradient(model, image, target):
    return (image * pixel_gradient(model, image, target)).sum(0)


def integrated_gradients(model, image, target, num_steps, baseline=0.0):
    start = torch.full_like(image, baseline)
    nodes, weights = roots_legendre(num_steps)
    total = torch.zeros(image.shape, dtype=torch.double)
    for node, weight in zip(nodes, weights, strict=True):
        alpha = (node + 1) / 2
        total += weight / 2 * pixel_gradient(model, start + alpha * (image.double() - start), target)
    return ((image - start) * total).sum(0)


def smoothgrad(model, image, target, noise):
    """`noise` (n, 3, H, W) is added to the image."""
    gradients = [pixel_gradient(model, image + sample, target) for sample in noise]
    return torch.stack(gradients).mean(0).sum(0)
