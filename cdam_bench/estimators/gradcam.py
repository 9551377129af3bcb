"""GradCAM on the tokens of the last stage."""

from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.estimators.base import TokenEstimator


class GradCAM(TokenEstimator):
    """S_i = relu(Σ_j w_j T_ij), w_j the mean over patch tokens of ∂f_c/∂T_ij; not negative.

    T are the last stage's tokens, as for CDAM. Source: Selvaraju et al. 2017; for ViTs as in Gildenblat's pytorch-grad-cam, at the
    last layer where the gradient of patch tokens is not zero.
    """

    signed = False

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        stage, at = backbone.last_stage, backbone.last_tokens(images)
        weights = stage.mean_gradient(at, targets)  # (B, K, D)
        return (weights @ at.tokens[:, stage.num_prefix_tokens :].transpose(1, 2)).relu()
