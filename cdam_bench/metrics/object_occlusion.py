"""What a network depends on, asked without any map: which object's occlusion lowers a class's logit most?"""

import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.errors import require
from cdam_bench.metrics.localisation import box_masks


def occlusion_drops(backbone: Backbone, images: Tensor, targets: Tensor, boxes: Tensor) -> Tensor:
    """Drop of every target's logit when each object's box takes the mean colour.

    Args:
        backbone: the network.
        images: (B, 3, H, W), normalised; the mean colour is 0.
        targets: (B, K) long, the objects' classes.
        boxes: (B, K, 4) long, [top, left, bottom, right) in pixels.
    Returns:
        (B, K, K) float32, on the backbone's device: [b, k, j] is the logit of target k less what it is with box j occluded.
    Raises:
        UserError: if boxes and targets do not go together.
    """
    require(
        boxes.shape == (*targets.shape, 4),
        f"boxes of shape {tuple(boxes.shape)} for targets {tuple(targets.shape)}: expected one box per target",
    )
    images, targets = images.to(backbone.device), targets.to(backbone.device)
    masks = box_masks(boxes.to(backbone.device), (images.shape[-2], images.shape[-1]))[:, :, None]  # (B, K, 1, H, W)
    occluded = torch.where(masks, 0.0, images[:, None])
    with torch.no_grad():
        clean = backbone.logits(images).gather(1, targets)  # (B, K)
        without = backbone.logits(occluded.flatten(0, 1)).reshape(*targets.shape, -1)  # (B, box, classes)
    perturbed = without.gather(2, targets[:, None].expand(-1, targets.shape[1], -1))  # (B, box, target)
    return clean[:, :, None] - perturbed.transpose(1, 2)


def names_right_object(drops: Tensor) -> Tensor:
    """Whether a target's logit drops most when its own object is occluded: (B, K, K) → (B, K), 0 or 1, and ½ for a tie of two."""
    own = drops.diagonal(dim1=1, dim2=2)
    most = drops.amax(2)
    ties = (drops == most[..., None]).sum(2)
    return torch.where(own == most, 1.0 / ties, 0.0)
