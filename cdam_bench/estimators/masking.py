"""What the methods share that only ask for outputs: partly hidden copies of one image through the backbone, in full batches."""

from abc import abstractmethod
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.computing.micro_batches import MicroBatch
from cdam_bench.errors import require_count, require_number
from cdam_bench.estimators.base import Estimator, checked_inputs


class MaskingEstimator(Estimator):
    """A method that hides parts of an image, one image at a time, and maps how the outputs change.

    Args:
        num_passes: budget of forward passes per image; all targets share them.
        baseline: value of hidden pixels, in normalised units; 0 is the mean colour of the training images.
        internal_batch_size: copies in one forward pass; halved when memory runs out.
    """

    def __init__(self, num_passes: int, baseline: float = 0.0, internal_batch_size: int = 64) -> None:
        self.num_passes = require_count("num_passes", num_passes)
        self.baseline = require_number("baseline", baseline, -100, 100)
        self.micro_batch = MicroBatch(require_count("internal_batch_size", internal_batch_size))

    @abstractmethod
    def maps_of_one(self, backbone: Backbone, image: Tensor, targets: Tensor, seed: int) -> Tensor:
        """Maps (K, H, W) of an image (3, H, W) for targets (K,)."""

    def attribute(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor | None = None) -> Tensor:
        images, many, seeds = checked_inputs(backbone, images, targets, seeds)
        backbone.check_images(images)
        with torch.no_grad():
            maps = [self.maps_of_one(backbone, *one) for one in zip(images, many, seeds.tolist(), strict=True)]
        return torch.stack(maps).float().reshape(*targets.shape, *images.shape[-2:])


def masked_outputs(
    backbone: Backbone,
    image: Tensor,
    background: Tensor,
    count: int,
    make_masks: Callable[[slice], Tensor],
    targets: Tensor,
    micro_batch: MicroBatch,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Outputs of copies of an image that show the background where a mask is 0 and the image where it is 1.

    Args:
        image, background: (3, H, W); the background may be one number.
        count: how many masks there are.
        make_masks: some of them, as (n, H, W).
        targets: (K,), the outputs to keep.
        micro_batch: copies in one forward pass.
    Yields:
        The masks in turn, as many as went through at once, and the outputs (n, K) they gave.
    """
    background = background.expand_as(image)

    def asked(part: slice) -> tuple[Tensor, Tensor]:
        masks = make_masks(part)
        return masks, backbone(torch.lerp(background, image, masks[:, None]))[:, targets]

    return micro_batch.each(count, asked)
