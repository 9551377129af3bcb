"""The three class-discriminative attention maps: CDAM, Smooth CDAM, Integrated CDAM.

All of them run the model up to its last tokens once per image, and from there on what the last stage asks for: of a ViT whose head
reads [CLS], the last block for the [CLS] query alone, in closed form (`cdam_bench.backbones.last_stage`).
Source: Brocki et al. 2024, "Class-Discriminative Attention Maps for Vision Transformers".
"""

import numpy as np
import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.backbones.last_stage import LastStage, LastTokens
from cdam_bench.errors import require_count
from cdam_bench.estimators import noise
from cdam_bench.estimators.base import TokenEstimator, checked_inputs


class CDAM(TokenEstimator):
    """S_i = Σ_j T_ij · ∂f_c/∂T_ij at the norm1 output of the last block; signed.

    Of a model that ends in a map of features, T are the features at every place of the map.
    """

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        stage = backbone.last_stage
        return stage.products(backbone.last_tokens(images), targets)[..., stage.num_prefix_tokens :]


class SmoothCDAM(TokenEstimator):
    """Mean of CDAM over noisy tokens T + ε, ε ~ N(0, σ²), σ = noise_level · (max T − min T) of each image.

    Args:
        num_samples: noisy passes.
        noise_level: of the noise, as a share of the tokens' range.
        multiply: what multiplies the gradient at the noisy tokens: "noisy" tokens (the authors' toolkit) or "clean" ones
            (the other reading of the paper).
    """

    def __init__(self, num_samples: int = 50, noise_level: float = 0.05, multiply: str = "noisy") -> None:
        self.num_samples, self.noise_level, self.multiply = noise.smoothing(num_samples, noise_level, multiply)

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        stage, at = backbone.last_stage, backbone.last_tokens(images)
        # one image at a time: its noise must not depend on its neighbours, and n noisy copies are a full batch
        rows = [self._scores_of_one(stage, at.of_image(b), targets[b], int(seeds[b])) for b in range(len(images))]
        return torch.stack(rows)[..., stage.num_prefix_tokens :]

    def _scores_of_one(self, stage: LastStage, at: LastTokens, targets: Tensor, seed: int) -> Tensor:
        """T of one image, targets (K,) → (K, P + N)."""
        count, tokens = self.num_samples, at.tokens[0]
        sigma = self.noise_level * (tokens.max() - tokens.min())
        noisy = noise.standard_normal((count, *tokens.shape), seed, tokens.device).mul_(sigma).add_(tokens)
        values = None if self.multiply == "noisy" else tokens.expand_as(noisy)
        return stage.products(at.moved_to(noisy), targets.expand(count, -1), values).mean(0)


class IntegratedCDAM(TokenEstimator):
    """S_i = Σ_j (T − T')_ij · ∫₀¹ ∂f_c/∂T_ij(T' + α (T − T')) dα, baseline T' = 0, by Gauss–Legendre quadrature.

    The sum over all tokens, prefix tokens included, is f_c(T) − f_c(T').

    Args:
        num_steps: points of the quadrature.
    """

    def __init__(self, num_steps: int = 50) -> None:
        self.num_steps = require_count("num_steps", num_steps)

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        scores = self._all_scores(backbone, images, targets)
        return scores[..., backbone.num_prefix_tokens :]

    def all_token_scores(self, backbone: Backbone, images: Tensor, targets: Tensor) -> Tensor:
        """Scores (B, K, P + N) of all tokens, prefix tokens first: they sum to f_c(T) − f_c(0). Targets are (B, K)."""
        images, targets, _ = checked_inputs(backbone, images, targets, None)
        with torch.no_grad():
            return self._all_scores(backbone, images, targets, every_token=True)

    def _all_scores(self, backbone: Backbone, images: Tensor, targets: Tensor, every_token: bool = False) -> Tensor:
        """(B, K, P + N)."""
        stage, at = backbone.last_stage, backbone.last_tokens(images)
        nodes, weights = np.polynomial.legendre.leggauss(self.num_steps)
        alphas = torch.from_numpy((nodes + 1) / 2).to(at.tokens)
        weights = torch.from_numpy(weights / 2).to(at.tokens)
        rows = [
            stage.path_products(at.of_image(b), targets[b], alphas, weights, every_token) for b in range(len(images))
        ]
        return torch.stack(rows)
