"""Token ablation, token after token."""

from contextlib import ExitStack

import torch
from scipy.ndimage import gaussian_filter1d

from tests.reference.model import patches_only, replaced


def without_column(number):
    """Attention matrices (1, H, T, T) in which no query sees token `number`: the others' shares grow in proportion."""

    def change(attention):
        seen = attention.clone()
        seen[..., number] = 0
        return seen / seen.sum(-1, keepdim=True)

    return change


def token_ablation(model, image, target):
    """Fall of the output when one token is masked in the attention of every block."""
    image = image[None].double()
    length = model.num_prefix_tokens + model.patch_embed.num_patches
    falls = torch.zeros(length, dtype=torch.double)
    with torch.no_grad():
        for number in range(length):
            with ExitStack() as stack:
                for block in model.blocks:
                    stack.enter_context(replaced(block.attn.attn_drop, without_column(number)))
                falls[number] = model(image)[0, target]
        return patches_only(model, model(image)[0, target] - falls)


def patch_ablation(model, image, target, sigma):
    """Fall of the output when one patch is replaced by that of a blurred copy."""
    image = image.double()
    soft = image.numpy()
    for axis in (1, 2):
        radius = min(int(-(-3 * sigma // 1)), soft.shape[axis] - 1)
        soft = gaussian_filter1d(soft, sigma, axis, mode="mirror", radius=radius)
    soft, side = torch.from_numpy(soft), model.patch_embed.patch_size[0]
    falls = []
    with torch.no_grad():
        whole = model(image[None])[0, target]
        for top in range(0, image.shape[1], side):
            for left in range(0, image.shape[2], side):
                other = image.clone()
                box = (slice(None), slice(top, top + side), slice(left, left + side))
                other[box] = soft[box]
                falls.append(whole - model(other[None])[0, target])
    return torch.stack(falls)
