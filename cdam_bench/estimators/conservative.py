"""AttnLRP, CP-LRP and LibraGrad: input times a gradient that is taken with changed rules, in one backward pass.

| method | attention | LayerNorm | GELU | read at |
|---|---|---|---|---|
| AttnLRP | products halved | deviation constant | gate constant | pixels |
| CP-LRP | weights constant | deviation constant | its derivative | tokens |
| LibraGrad | weights constant | deviation constant | gate constant | tokens |

"Tokens" are those that enter the first block (patch embedding plus position), which is where the authors read theirs. The rules
themselves are `cdam_bench.estimators.rules`.
"""

import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.estimators.base import Estimator, TokenEstimator, checked_inputs
from cdam_bench.estimators.rules import (
    BlockGradients,
    Rules,
    backward_through_blocks,
    pixel_gradients,
)


class AttnLRP(Estimator):
    """x ⊙ g at the pixels, summed over colour channels, g by AttnLRP's rules; signed.

    Uniform rule for both products of the attention, the softmax by its deep Taylor decomposition, identity rule for norms and
    activations, ε rule (γ = 0) or γ rule for linear layers. The softmax and biases absorb relevance: the sum is not the logit.

    Args:
        gamma: γ of the linear layers in the blocks. The authors tune it per model; 0, our default, is not tuned.
        gamma_patches: γ of the patch embedding.
    Cost: under 4 forward passes for one target (γ > 0: about 12).
    Source: Achtibat et al. 2024, "AttnLRP: Attention-Aware Layer-Wise Relevance Propagation for Transformers".
    """

    signed = True
    class_aware = True

    def __init__(self, gamma: float = 0.0, gamma_patches: float = 0.0) -> None:
        self.rules = Rules("halve", "detach", "gate", gamma, gamma_patches)

    def attribute(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor | None = None) -> Tensor:
        images, many, _ = checked_inputs(backbone, images, targets, seeds)
        images = images.to(next(backbone.vit.parameters()).dtype)
        first = _at_first_block(backbone, images, many, self.rules)
        gradients = pixel_gradients(backbone, images, first.at_inputs, self.rules)  # (B, K, 3, H, W)
        maps = (images[:, None] * gradients).sum(2).float()
        return maps.reshape(*targets.shape, *images.shape[-2:])


class CPLRP(TokenEstimator):
    """x · g at the tokens that enter the first block, attention weights and LayerNorm's deviation held constant; signed.

    Args:
        gamma: γ of the linear layers in the blocks; 0: the authors' Input × Grad.
    Cost: under 4 forward passes for one target (γ > 0: about 12).
    Source: Ali et al. 2022, "XAI for Transformers: Better Explanations through Conservative Propagation".
    """

    signed = True
    class_aware = True

    def __init__(self, gamma: float = 0.0) -> None:
        self.rules = Rules("detach", "detach", "plain", gamma)

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        return _input_times_gradient(backbone, images, targets, self.rules)


class LibraGrad(TokenEstimator):
    """x · g at the tokens that enter the first block, as CP-LRP, and GELU's gate Φ(x) held constant too; signed.

    In a network without biases (of linear layers and norms) the scores of all tokens, prefix ones included, sum to the logit.

    Args:
        gamma: γ of the linear layers in the blocks; 0: the authors' Input × Grad.
    Cost: under 4 forward passes for one target (γ > 0: about 12).
    Source: Mehri et al. 2025, "LibraGrad: Balancing Gradient Flow for Universally Better Vision Transformer Attributions"
        (its Input × Grad).
    """

    signed = True
    class_aware = True

    def __init__(self, gamma: float = 0.0) -> None:
        self.rules = Rules("detach", "detach", "gate", gamma)

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        return _input_times_gradient(backbone, images, targets, self.rules)


def _at_first_block(backbone: Backbone, images: Tensor, targets: Tensor, rules: Rules) -> BlockGradients:
    """The end of the backward pass."""
    *_, first = backward_through_blocks(backbone, images, targets, rules)
    return first


def _input_times_gradient(backbone: Backbone, images: Tensor, targets: Tensor, rules: Rules) -> Tensor:
    """Σ_j x_ij g_ij of the patch tokens at the first block's input: (B, K, N)."""
    first = _at_first_block(backbone, images, targets, rules)
    products = torch.einsum("btd,bktd->bkt", first.inputs, first.at_inputs)
    return products[..., backbone.num_prefix_tokens :]
