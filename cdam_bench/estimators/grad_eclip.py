"""Grad-ECLIP: the values of the last block, weighted by a gradient and by how like the [CLS] query each key is."""

import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.estimators.base import TokenEstimator


class GradECLIP(TokenEstimator):
    """S_i = relu(Σ_d g_d v_id λ_i) in the last block; not negative, class-aware.

    g is the gradient at the attention's output for [CLS], before the projection, v_i the value of token i, all heads side by side.
    λ_i, a loosened attention, is the cosine of the [CLS] query and the key of token i, over the full width as the authors have it,
    brought to [0, 1] over the patch tokens of the image. (The authors' CLIP is run with one wide head in its last block;
    here g is the gradient of the model as it is.)

    Cost: at most 1 forward pass. Source: Zhao et al. 2024, "Gradient-based Visual Explanation for Transformer-based CLIP".
    """

    signed, class_aware = False, True

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        last, (residual, cls_stream) = backbone.last_block, backbone.tokens_and_cls(images)
        seen = last.attend(last.normalised(residual))
        gradients = last.output_gradients(seen.outputs, cls_stream, targets)
        first = backbone.num_prefix_tokens
        products = last.attention_gradients(seen, gradients).sum(2)[..., first:]  # ⟨g, v_i⟩ over all heads, (B, K, N)
        keys = seen.tokens[:, first:] @ last.w_k.flatten(0, 1).T + last.b_k.flatten()  # (B, N, D)
        cosine = torch.cosine_similarity(seen.query.flatten(1)[:, None], keys, dim=-1)
        lowest, highest = cosine.aminmax(dim=-1, keepdim=True)
        # the floor: where all keys are alike, the weights are 0 and not 0/0
        weights = (cosine - lowest) / (highest - lowest).clamp(min=torch.finfo(cosine.dtype).tiny)
        return (products * weights[:, None]).relu()
