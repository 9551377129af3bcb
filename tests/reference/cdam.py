"""CDAM, Smooth CDAM and Integrated CDAM by hooks on norm1; scores (P + N,) of all tokens, prefix tokens first."""

import torch

from tests.reference.model import norm1_gradients, norm1_tokens


def cdam(model, image, target):
    tokens = norm1_tokens(model, image)
    gradient = norm1_gradients(model, image, target, tokens[None])[0]
    return (tokens * gradient).sum(-1)


def token_noise(model, image, seed, num_samples, noise_level):
    """σ·ε (n, P + N, D) as it is drawn for an image: ε from the seed alone, σ a share of the tokens' range."""
    tokens = norm1_tokens(model, image)
    generator = torch.Generator().manual_seed(int(seed))
    noise = torch.randn((num_samples, *tokens.shape), generator=generator)
    return noise.double() * noise_level * (tokens.max() - tokens.min())


def smooth_cdam(model, image, target, noise, multiply="noisy"):
    tokens = norm1_tokens(model, image)
    total = torch.zeros(len(tokens), dtype=torch.double)
    for sample in noise:
        noisy = tokens + sample
        gradient = norm1_gradients(model, image, target, noisy[None])[0]
        total += ((noisy if multiply == "noisy" else tokens) * gradient).sum(-1)
    return total / len(noise)


def integrated_cdam(model, image, target, intervals=200):
    """The path integral from T' = 0 by Simpson's rule with `intervals` equal intervals."""
    tokens = norm1_tokens(model, image)
    alphas = torch.linspace(0, 1, intervals + 1, dtype=torch.double)
    weights = torch.full_like(alphas, 2)
    weights[1::2] = 4
    weights[0] = weights[-1] = 1
    weights /= 3 * intervals
    gradients = norm1_gradients(model, image, target, alphas[:, None, None] * tokens)
    mean_gradient = (weights[:, None, None] * gradients).sum(0)
    return (tokens * mean_gradient).sum(-1)
