"""Occlusion: a window slides over the image, and pixels take the mean fall of the output under it."""

import math

import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.errors import UserError, require_count
from cdam_bench.estimators.masking import MaskingEstimator, masked_outputs


class Occlusion(MaskingEstimator):
    """S_x = mean over the windows that cover pixel x of f_c(image) − f_c(image with the window hidden); signed, class-aware.

    Windows stand at 0, s, 2s, … along both axes, cut off at the far edges, s the smallest stride that the budget allows.

    Args:
        num_passes: budget of forward passes per image.
        window: side of the window in patches.
        baseline, internal_batch_size: as in MaskingEstimator.
    Raises:
        UserError: on use, for a budget too small to cover the image.

    Cost: num_passes forward passes at most; all targets share them. Source: Zeiler & Fergus 2014, "Visualizing and Understanding
    Convolutional Networks".
    """

    signed, class_aware = True, True

    def __init__(
        self, num_passes: int = 256, window: int = 2, baseline: float = 0.0, internal_batch_size: int = 64
    ) -> None:
        super().__init__(num_passes, baseline, internal_batch_size)
        self.window = require_count("window", window)

    def stride(self, backbone: Backbone, image_size: tuple[int, int]) -> int:
        """Pixels from one window to the next on images of (H, W)."""
        side = self._side(backbone, image_size)
        for stride in range(1, side + 1):
            if math.prod(_count(length, side, stride) for length in image_size) + 1 <= self.num_passes:
                return stride
        needed = math.prod(_count(length, side, side) for length in image_size) + 1
        raise UserError(
            f"num_passes={self.num_passes}: windows of {side} pixels need {needed} to cover {image_size[0]}×{image_size[1]}"
        )

    def maps_of_one(self, backbone: Backbone, image: Tensor, targets: Tensor, seed: int) -> Tensor:
        size = (image.shape[-2], image.shape[-1])
        side, stride = self._side(backbone, size), self.stride(backbone, size)
        inside = []  # along each axis: windows × pixels
        for length in size:
            starts = stride * torch.arange(_count(length, side, stride), device=image.device)[:, None]
            places = torch.arange(length, device=image.device)
            inside.append((places >= starts) & (places < starts + side))
        rows, columns = inside
        places = torch.cartesian_prod(*(torch.arange(len(axis), device=image.device) for axis in inside))

        def masks(part: slice) -> Tensor:
            row, column = places[part].unbind(1)
            return (~(rows[row, :, None] & columns[column, None])).to(image.dtype)  # (n, H, W)

        whole = backbone(image[None])[:, targets]  # (1, K)
        total = image.new_zeros(len(targets), *size)
        background = image.new_tensor(self.baseline)
        asked = masked_outputs(backbone, image, background, len(places), masks, targets, self.micro_batch)
        for mask, outputs in asked:
            total += torch.einsum("nk,nhw->khw", whole - outputs, 1 - mask)
        covered = rows.sum(0)[:, None] * columns.sum(0)  # by how many windows, (H, W)
        return total / covered

    def _side(self, backbone: Backbone, image_size: tuple[int, int]) -> int:
        """Of the window in pixels; no longer than the image's shorter side."""
        return min(self.window * backbone.patch_size, *image_size)


def _count(length: int, side: int, stride: int) -> int:
    """Windows along an axis of `length` pixels."""
    return math.ceil((length - side) / stride) + 1
