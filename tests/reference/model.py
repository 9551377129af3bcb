"""The whole timm model as the textbook sees it: double precision, explicit attention matrices, hooks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn


class LastBlocksViT(VisionTransformer):
    """A ViT as DINO's evaluation reads it for ViT-S: the head gets the normalised [CLS] after each of the last blocks."""

    def forward(self, x):
        x = self.norm_pre(self.patch_drop(self._pos_embed(self.patch_embed(x))))
        latents = []
        for block in self.blocks:
            x = block(x)
            latents.append(self.fc_norm(self.norm(x))[:, 0])
        return self.head(torch.cat(latents[-self.head.blocks_read :], -1))


def textbook_model(vit, head=None):
    """A copy of `vit` in double precision that forms every attention matrix, with `head` in place of its own."""
    model = deepcopy(vit).double().eval()
    if head is not None:
        model.head = deepcopy(head).double().eval()
    for block in model.blocks:
        block.attn.fused_attn = False
    return model


@contextmanager
def recorded(*modules: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Collects the outputs of `modules` in the order of their calls, with their gradients after a backward pass."""
    outputs = []

    def keep(_module, _inputs, output):
        output.requires_grad_() if output.is_leaf else output.retain_grad()
        outputs.append(output)

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def recorded_io(model: nn.Module) -> Iterator[dict[str, tuple[torch.Tensor, torch.Tensor]]]:
    """Input and output of every submodule by its name."""
    seen = {}

    def keep(name):
        def hook(_module, inputs, output):
            seen[name] = (inputs[0].detach(), output.detach())

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in model.named_modules()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def replaced(module: nn.Module, change: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """The model runs with change(output) where `module` gave its output."""
    handle = module.register_forward_hook(lambda _module, _inputs, output: change(output))
    try:
        yield
    finally:
        handle.remove()


def norm1_tokens(model, image):
    """T: tokens (P + N, D) at the norm1 output of the last block, for an image (3, H, W)."""
    with torch.no_grad(), recorded(model.blocks[-1].norm1) as outputs:
        model(image[None].double())
    return outputs[0][0].detach()


def norm1_gradients(model, image, target, tokens):
    """∂f_c/∂T (n, P + N, D) at n sets of tokens (n, P + N, D) put in place of the image's own; the residual stream stays."""
    leaf = tokens.detach().clone().requires_grad_()
    with replaced(model.blocks[-1].norm1, lambda _output: leaf):
        logits = model(image[None].double().expand(len(tokens), -1, -1, -1))
    (gradients,) = torch.autograd.grad(logits[:, target].sum(), leaf)
    return gradients


def logit_at(model, image, target, tokens):
    """f_c of an image whose tokens at the last norm1 are replaced by `tokens` (P + N, D)."""
    with torch.no_grad(), replaced(model.blocks[-1].norm1, lambda _output: tokens[None]):
        return model(image[None].double())[0, target]


def for_each(method, model, images, targets, *per_image):
    """method(model, image, target, …) for every image and target (B, K), stacked to (B, K, …).

    `per_image` are further arguments, each with one entry per image.
    """
    rows = []
    for index, (image, image_targets) in enumerate(zip(images, targets, strict=True)):
        further = [values[index] for values in per_image]
        rows.append(torch.stack([method(model, image, int(target), *further) for target in image_targets]))
    return torch.stack(rows)


def patches_only(model, scores):
    """Scores (P + N,) → (N,)."""
    return scores[model.num_prefix_tokens :]
