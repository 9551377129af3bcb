"""Deep CDAM by hooks on every norm1: attentions that read changed tokens, and the network with frozen factors."""

from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from tests.reference.model import recorded, replaced
from tests.reference.rules import detached_factors


@contextmanager
def reading(model, changes):
    """The model runs with change(T) in place of T after the norm1 of block b, for {b: change}."""
    with ExitStack() as stack:
        for b, change in changes.items():
            stack.enter_context(replaced(model.blocks[b].norm1, change))
        yield


def logit_reading(model, image, target, changes):
    """f_c when the attentions of some blocks read changed tokens."""
    with torch.no_grad(), reading(model, changes):
        return model(image[None].double())[0, target]


def gradients_reading(model, image, target, changes, conservative=False):
    """What the attentions read and ∂f_c/∂(that), (T, D) each, for every block in `changes`."""
    norms = [model.blocks[b].norm1 for b in changes]
    with detached_factors(model) if conservative else ExitStack(), reading(model, changes), recorded(*norms) as tokens:
        logit = model(image[None].double().requires_grad_())[0, target]
        gradients = torch.autograd.grad(logit, tokens)
    return {b: (t[0].detach(), g[0]) for b, t, g in zip(changes, tokens, gradients, strict=True)}


def tokens_of(model, image):
    """T (T, D) after the norm1 of every block."""
    with torch.no_grad(), recorded(*(block.norm1 for block in model.blocks)) as tokens:
        model(image[None].double())
    return [t[0].detach() for t in tokens]


def block_noise(model, image, seed, blocks, num_samples, noise_level):
    """σ_b·ε (n, T, D) of each block as it is drawn: the seed's own for the last block, 2³² further for each one before."""
    noise = {}
    for b in blocks:
        tokens = tokens_of(model, image)[b]
        generator = torch.Generator().manual_seed(int(seed) + (len(model.blocks) - 1 - b) * 2**32)
        drawn = torch.randn((num_samples, *tokens.shape), generator=generator).double()
        noise[b] = drawn * noise_level * (tokens.max() - tokens.min())
    return noise


def smooth_deep_cdam(model, image, target, noise, conservative, multiply="noisy"):
    """(T,), noise {b: (n, T, D)}."""
    clean, total, count = tokens_of(model, image), 0, len(next(iter(noise.values())))
    for n in range(count):
        changes = {b: lambda tokens, own=own[n]: tokens + own for b, own in noise.items()}
        for b, (noisy, gradient) in gradients_reading(model, image, target, changes, conservative).items():
            total = total + ((noisy if multiply == "noisy" else clean[b]) * gradient).sum(-1)
    return total / count


def integrated_deep_cdam(model, image, target, blocks, intervals=40):
    """(T,): ∫ Σ_b T^b(α) · ∂f/∂(α T^b) dα by Simpson's rule, T^b(α) what norm1 gives before it is scaled."""
    total = 0
    for step in range(intervals + 1):
        alpha, weight = step / intervals, 1 if step in (0, intervals) else 4 if step % 2 else 2
        given = {}

        def scaled(tokens, b, alpha=alpha, given=given):
            given[b] = tokens[0].detach()
            return alpha * tokens

        changes = {b: lambda tokens, b=b, scaled=scaled: scaled(tokens, b) for b in blocks}
        for b, (_, gradient) in gradients_reading(model, image, target, changes).items():
            total = total + weight / (3 * intervals) * (given[b] * gradient).sum(-1)
    return total


@contextmanager
def frozen_factors(model, image):
    """The model runs with the attention weights, LayerNorms' deviations and activation gates that it has for `image`."""
    frozen = [m for m in model.modules() if isinstance(m, nn.LayerNorm | nn.GELU)]
    frozen += [block.attn.attn_drop for block in model.blocks]
    factors = {}

    def keep(module, inputs, output):
        x = inputs[0]
        if isinstance(module, nn.LayerNorm):
            factors[module] = (x.var(-1, unbiased=False, keepdim=True) + module.eps).sqrt()
        else:
            factors[module] = output / x if isinstance(module, nn.GELU) else output

    def apply(module, inputs, _output):
        x, factor = inputs[0], factors[module]
        if isinstance(module, nn.LayerNorm):
            return (x - x.mean(-1, keepdim=True)) / factor * module.weight + module.bias
        return x * factor if isinstance(module, nn.GELU) else factor

    with torch.no_grad():
        handles = [module.register_forward_hook(keep) for module in frozen]
        model(image[None].double())
    for handle in handles:
        handle.remove()
    handles = [module.register_forward_hook(apply) for module in frozen]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
