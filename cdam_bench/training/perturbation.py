"""Feature perturbation augmentation: train on the kind of images the fidelity benchmark makes.

A network that never saw half-blurred images answers them arbitrarily, and pixels picked by its gradient then act as an adversarial
attack. Replacing random shares of training images by their blurred copy makes the perturbed images part of what it knows.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from cdam_bench.computing.blur import gaussian_blur


def perturb_features(
    images: Tensor, blur_sigma: float, patch_size: int, generator: torch.Generator, probability: float = 0.5
) -> Tensor:
    """Replace a random share (0 to 1) of each chosen image by its blurred copy.

    What is replaced is, with equal chance, random pixels, random patches or a random smooth region.

    Args:
        images: (B, 3, H, W), H and W divisible by patch_size.
        blur_sigma: in pixels.
        patch_size: side of the random patches in pixels.
        generator: source of all randomness, on the images' device.
        probability: chance that an image is perturbed at all.
    Returns:
        (B, 3, H, W).
    """
    device = images.device
    chosen = (torch.rand(len(images), generator=generator, device=device) < probability).nonzero()[:, 0]
    picked = images[chosen]
    batch, _, height, width = picked.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    def enlarge(values: Tensor, mode: str) -> Tensor:
        return F.interpolate(values[:, None], size=(height, width), mode=mode)[:, 0]

    share = uniform(batch, 1, 1)
    kind = (uniform(batch) * 3).long()[:, None, None]
    pixels = uniform(batch, height, width)
    patches = enlarge(uniform(batch, height // patch_size, width // patch_size), "nearest")
    field = enlarge(uniform(batch, 5, 5), "bicubic")
    ordered = field.flatten(1).sort(1).values  # the smooth region: all below the field's own quantile
    quantile = ordered.gather(1, (share[:, 0] * height * width).long())[..., None]
    mask = torch.where(kind == 0, pixels < share, torch.where(kind == 1, patches < share, field < quantile))
    images = images.clone()
    images[chosen] = torch.where(mask[:, None], gaussian_blur(picked, blur_sigma), picked)
    return images
