"""Paths through the last block with forward hooks, one image at a time: whole models run, and one module's output exchanged."""

import torch

from tests.reference.model import recorded, replaced


def attention_output(model, image):
    """What the last block's attention gives for an image (3, H, W): (1, P + N, D)."""
    with torch.no_grad(), recorded(model.blocks[-1].attn) as outputs:
        model(image[None].double())
    return outputs[0].detach()


def with_attention_of(model, image, other):
    """Outputs (C,) for an image whose last attention gives what it gives for another image; all else is the image's own."""
    exchanged = attention_output(model, other)
    with torch.no_grad(), replaced(model.blocks[-1].attn, lambda _output: exchanged):
        return model(image[None].double())[0]


def along_path(model, clean, perturbed, path):
    """Outputs (C,) of a perturbed image along a path."""
    if path == "tokens":
        return with_attention_of(model, clean, perturbed)
    if path == "cls":
        return with_attention_of(model, perturbed, clean)
    with torch.no_grad():
        return model(perturbed[None].double())[0]


def survives_mean_attention(model, images):
    """For every image, whether the top output stays when the last attention gives its mean over all images: (N,) bool."""
    outputs = [attention_output(model, image) for image in images]
    mean = torch.cat(outputs).mean(0, keepdim=True)
    kept = []
    for image in images:
        with torch.no_grad():
            own = model(image[None].double()).argmax()
            with replaced(model.blocks[-1].attn, lambda _output: mean):
                kept.append(bool(model(image[None].double()).argmax() == own))
    return torch.tensor(kept)
