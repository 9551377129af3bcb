"""AttnLRP, CP-LRP and LibraGrad as layer-wise relevance propagation, and the conservative gradient by hooks that detach.

Relevances R = x ⊙ g are carried down by the rules as the papers state them, where the package carries gradients g.
"""

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from tests.reference.model import patches_only, recorded, recorded_io


@dataclass
class LRP:
    """Rules: `uniform`: both products of the attention give half to either factor, else its weights are constant;
    `identity`: activations hand relevance on, else they take their derivative; γ of linear layers and the patch embedding."""

    uniform: bool = False
    identity: bool = True
    gamma: float = 0.0
    gamma_patches: float = 0.0


def linear_rule(weight, bias, x, relevance, gamma=0.0):
    """R_i = Σ_j z_ij / (Σ_i z_ij + b_j) · R_j, z = x_i w_ij with γ times the part of the output's sign added; x (T, in)."""
    bias = torch.zeros_like(weight[:, 0]) if bias is None else bias
    if gamma == 0:
        return x * ((relevance / (x @ weight.T + bias)) @ weight)
    products = x[:, None, :] * weight  # (T, out, in)
    up = (products.sum(-1) + bias > 0).to(x)[..., None]

    def weighed(terms, up):
        return terms + gamma * (up * terms.clamp(min=0) + (1 - up) * terms.clamp(max=0))

    products, bias = weighed(products, up), weighed(bias.expand_as(up[..., 0]), up[..., 0])
    return (products * (relevance / (products.sum(-1) + bias))[..., None]).sum(1)


def norm_rule(norm, x, relevance):
    """LayerNorm as the linear map that centres and scales by the (constant) deviation."""
    if isinstance(norm, nn.Identity):
        return relevance
    width = x.shape[-1]
    centring = torch.eye(width, dtype=x.dtype) - 1 / width
    std = (x.var(-1, unbiased=False) + norm.eps).sqrt()
    return torch.cat(
        [
            linear_rule(norm.weight[:, None] * centring / s, norm.bias, row[None], r[None])
            for row, s, r in zip(x, std, relevance, strict=True)
        ]
    )


def attention_rule(q, k, v, scale, relevance, uniform):
    """Relevance of the heads' outputs (H, T, d) → of q, k and v."""
    scores = scale * torch.einsum("hid,hjd->hij", q, k)
    attention = scores.softmax(-1)
    share = relevance / torch.einsum("hij,hjd->hid", attention, v)
    to_v = torch.einsum("hij,hjd,hid->hjd", attention, v, share)
    if not uniform:
        return torch.zeros_like(q), torch.zeros_like(k), to_v
    to_attention = torch.einsum("hij,hjd,hid->hij", attention, v, share) / 2
    to_scores = scores * (to_attention - attention * to_attention.sum(-1, keepdim=True))  # deep Taylor
    share = to_scores / scores
    to_q = scale * torch.einsum("hid,hjd,hij->hid", q, k, share) / 2
    to_k = scale * torch.einsum("hid,hjd,hij->hjd", q, k, share) / 2
    return to_q, to_k, to_v / 2


@dataclass
class Relevances:
    """Of one image and target: of the tokens at every block's input and norm1 (T, D), of the pixels (3, H, W)."""

    at_inputs: list[torch.Tensor]
    at_norm1: list[torch.Tensor]
    pixels: torch.Tensor


def propagate(model, image, target, rules):
    """The model's head is one linear layer."""
    with torch.no_grad(), recorded_io(model) as seen:
        model(image[None].double())
        relevance = torch.zeros_like(seen["blocks.0"][0][0])
        of_latents = _through_head(model, seen, target)
        found = Relevances([], [], torch.empty(0))
        for index in reversed(range(len(model.blocks))):
            if of_latents:
                relevance[0] += of_latents.pop()
            at_norm1, relevance = _through_block(model.blocks[index], seen, f"blocks.{index}.", relevance, rules)
            found.at_norm1.insert(0, at_norm1)
            found.at_inputs.insert(0, relevance)
            relevance = relevance.clone()
        found.pixels = _to_pixels(model, image.double(), seen, relevance, rules)
    return found


def _through_head(model, seen, target):
    """Relevance (D,) of the [CLS] tokens that the head reads, first to last."""
    relevance = (model.head.weight[target] * seen["head"][0][0]).split(model.embed_dim)
    last = len(model.blocks) - 1
    latents = [seen[f"blocks.{last - n}"][1][0][:1] for n in reversed(range(len(relevance)))]
    relevances = []
    for latent, r in zip(latents, relevance, strict=True):
        r = norm_rule(model.fc_norm, model.norm(latent), r[None])
        relevances.append(norm_rule(model.norm, latent, r)[0])
    return relevances


def _through_block(block, seen, name, relevance, rules):
    """Relevance of a block's output → of its tokens after norm1 and of its input; all (T, D)."""

    def into(module):
        return seen[name + module][0][0]

    def linear(module, x, r):
        return linear_rule(module.weight, module.bias, x, r, rules.gamma)

    middle, attn, mlp = into("norm2"), block.attn, block.mlp
    share = relevance / seen[name + "ls2"][1][0].add(middle)
    to_middle, r = share * middle, share * seen[name + "ls2"][1][0]
    r = norm_rule(mlp.norm, into("mlp.norm"), linear(mlp.fc2, into("mlp.fc2"), r))
    if not rules.identity:
        x = into("mlp.act")
        with torch.enable_grad():
            leaf = x.clone().requires_grad_()
            (slope,) = torch.autograd.grad(mlp.act(leaf).sum(), leaf)
        r = r * x * slope / mlp.act(x)
    r = to_middle + norm_rule(block.norm2, middle, linear(mlp.fc1, into("mlp.fc1"), r))
    share = r / middle
    to_input, r = share * into("norm1"), share * seen[name + "ls1"][1][0]
    r = norm_rule(attn.norm, into("attn.norm"), linear(attn.proj, into("attn.proj"), r))
    length = len(r)
    q, k, v = seen[name + "attn.qkv"][1][0].reshape(length, 3, attn.num_heads, -1).permute(1, 2, 0, 3)
    parts = attention_rule(q, k, v, attn.scale, r.reshape(length, attn.num_heads, -1).transpose(0, 1), rules.uniform)
    to_qkv = torch.stack(parts).permute(2, 0, 1, 3).reshape(length, -1)
    at_norm1 = linear(attn.qkv, into("attn.qkv"), to_qkv)
    return at_norm1, to_input + norm_rule(block.norm1, into("norm1"), at_norm1)


def _to_pixels(model, image, seen, relevance, rules):
    """Relevance of the first block's input → of the pixels: positions and prefix tokens take their share."""
    relevance = norm_rule(model.norm_pre, seen["norm_pre"][0][0], relevance)
    embedded = seen["patch_embed"][1][0]  # (N, D)
    with_positions = seen["norm_pre"][0][0][model.num_prefix_tokens :]
    relevance = relevance[model.num_prefix_tokens :] / with_positions * embedded
    proj, patch = model.patch_embed.proj, model.patch_embed.patch_size
    patches = F.unfold(image[None], patch, stride=patch)[0].T  # (N, 3·p·p)
    relevance = linear_rule(proj.weight.flatten(1), proj.bias, patches, relevance, rules.gamma_patches)
    return F.fold(relevance.T[None], image.shape[-2:], patch, stride=patch)[0]


def attn_lrp(model, image, target, gamma=0.0, gamma_patches=0.0):
    """(H, W)."""
    return propagate(model, image, target, LRP(True, True, gamma, gamma_patches)).pixels.sum(0)


def cp_lrp(model, image, target, gamma=0.0):
    return patches_only(model, propagate(model, image, target, LRP(False, False, gamma)).at_inputs[0].sum(-1))


def libragrad(model, image, target, gamma=0.0):
    return patches_only(model, propagate(model, image, target, LRP(False, True, gamma)).at_inputs[0].sum(-1))


def norm1_gradients_of_blocks(model, image, target, conservative):
    """T and ∂f_c/∂T (T, D) at the norm1 output of every block, first to last, by autograd through the model itself."""
    with detached_factors(model) if conservative else ExitStack(), recorded(*(b.norm1 for b in model.blocks)) as tokens:
        logit = model(image[None].double().requires_grad_())[0, target]
        gradients = torch.autograd.grad(logit, tokens)
    return [(t[0].detach(), g[0]) for t, g in zip(tokens, gradients, strict=True)]


@contextmanager
def detached_factors(model):
    """The model runs with attention weights, LayerNorm's deviation and activation gates detached from the graph."""

    def norm(module, inputs, _output):
        x = inputs[0]
        variance, mean = torch.var_mean(x, -1, unbiased=False, keepdim=True)
        return (x - mean) * (variance.detach() + module.eps).rsqrt() * module.weight + module.bias

    def gate(_module, inputs, output):
        return inputs[0] * (output / inputs[0]).detach()

    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                handle = module.register_forward_hook(norm)
            elif isinstance(module, nn.GELU):
                handle = module.register_forward_hook(gate)
            else:
                continue
            stack.callback(handle.remove)
        for block in model.blocks:
            handle = block.attn.attn_drop.register_forward_hook(lambda _module, _inputs, output: output.detach())
            stack.callback(handle.remove)
        yield
