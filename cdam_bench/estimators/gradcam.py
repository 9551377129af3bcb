"""GradCAM on the last block's norm1 output."""

from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.estimators.base import TokenEstimator


class GradCAM(TokenEstimator):
    """S_i = relu(Σ_j w_j T_ij), w_j the mean over patch tokens of ∂f_c/∂T_ij; not negative.

    Source: Selvaraju et al. 2017; for ViTs as in Gildenblat's pytorch-grad-cam, at the last layer where the gradient of patch
    tokens is not zero.
    """

    signed = False

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        last, (residual, cls_stream) = backbone.last_block, backbone.tokens_and_cls(images)
        seen = last.attend(last.normalised(residual))
        gradients = last.output_gradients(seen.outputs, cls_stream, targets)
        first = backbone.num_prefix_tokens
        weights = last.mean_token_gradient(seen, gradients, first)  # (B, K, D)
        return (weights @ seen.tokens[:, first:].transpose(1, 2)).relu()
