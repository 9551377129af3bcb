"""Attention map: where the [CLS] query of the last block looks, whatever the class."""

from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.estimators.base import TokenEstimator


class AttentionMap(TokenEstimator):
    """softmax(q_CLS·k/√d) of the last block, averaged over heads; not negative, blind to the class.

    Source: Caron et al. 2021, "Emerging Properties in Self-Supervised Vision Transformers".
    """

    signed, class_aware = False, False

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        last = backbone.last_block
        attention = last.attend(last.normalised(backbone.tokens(images))).attention.mean(1)
        return attention[:, None, backbone.num_prefix_tokens :].expand(-1, targets.shape[1], -1)
