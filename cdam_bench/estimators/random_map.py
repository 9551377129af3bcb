"""Random map: noise, the floor that every metric must show."""

import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.estimators.base import TokenEstimator


class RandomMap(TokenEstimator):
    """Uniform noise in [0, 1) per patch token, from the image's seed and the target's index alone; not negative.

    Two targets of an image have independent maps, so that it looks class-aware, but is not.

    Cost: none; the backbone is not run. Source: the usual sanity check, as in Hooker et al. 2019, "A Benchmark for
    Interpretability Methods in Deep Neural Networks".
    """

    signed, class_aware = False, False

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        backbone.check_images(images)
        height, width = backbone.grid(images)
        rows = []
        for image_targets, seed in zip(targets, seeds.tolist(), strict=True):
            # one row per output, of which the targets' are taken: no target has to be read back from the device
            noise = torch.rand(
                backbone.num_classes, height * width, generator=torch.Generator().manual_seed(seed), dtype=torch.float32
            )
            rows.append(noise.to(targets.device)[image_targets])
        return torch.stack(rows)
