"""The three class-discriminative attention maps: CDAM, Smooth CDAM, Integrated CDAM.

All of them run the blocks before the last once per image, and then the last block for the [CLS] query alone, in closed form
(`cdam_bench.backbones.last_block`). Source: Brocki et al. 2024, "Class-Discriminative Attention Maps for Vision Transformers".
"""

import numpy as np
import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.backbones.last_block import LastBlock
from cdam_bench.errors import UserError, require_count, require_number
from cdam_bench.estimators import noise
from cdam_bench.estimators.base import TokenEstimator, checked_inputs


class CDAM(TokenEstimator):
    """S_i = Σ_j T_ij · ∂f_c/∂T_ij at the norm1 output of the last block; signed."""

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        last, (residual, cls_stream) = backbone.last_block, backbone.tokens_and_cls(images)
        seen = last.attend(last.normalised(residual))
        gradients = last.output_gradients(seen.outputs, cls_stream, targets)
        return last.gradient_products(seen, gradients)[..., backbone.num_prefix_tokens :]


class SmoothCDAM(TokenEstimator):
    """Mean of CDAM over noisy tokens T + ε, ε ~ N(0, σ²), σ = noise_level · (max T − min T) of each image.

    Args:
        num_samples: noisy passes.
        noise_level: of the noise, as a share of the tokens' range.
        multiply: what multiplies the gradient at the noisy tokens: "noisy" tokens (the authors' toolkit) or "clean" ones
            (the other reading of the paper).
    """

    def __init__(self, num_samples: int = 50, noise_level: float = 0.05, multiply: str = "noisy") -> None:
        self.num_samples = require_count("num_samples", num_samples)
        self.noise_level = require_number("noise_level", noise_level, 0, 100)
        if multiply not in ("noisy", "clean"):
            raise UserError(f"multiply={multiply} is unknown: use noisy or clean")
        self.multiply = multiply

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        last, (residual, cls_stream) = backbone.last_block, backbone.tokens_and_cls(images)
        tokens = last.normalised(residual)
        # one image at a time: its noise must not depend on its neighbours, and n noisy copies are a full batch
        rows = [
            self._scores_of_one(last, tokens[b], cls_stream[b], targets[b], int(seeds[b])) for b in range(len(images))
        ]
        return torch.stack(rows)[..., backbone.num_prefix_tokens :]

    def _scores_of_one(self, last: LastBlock, tokens: Tensor, cls_stream: Tensor, targets: Tensor, seed: int) -> Tensor:
        """T (P + N, D), [CLS] stream (S, D), targets (K,) → (K, P + N)."""
        count = self.num_samples
        sigma = self.noise_level * (tokens.max() - tokens.min())
        noisy = noise.standard_normal((count, *tokens.shape), seed, tokens.device).mul_(sigma).add_(tokens)
        seen = last.attend(noisy)
        gradients = last.output_gradients(seen.outputs, cls_stream.expand(count, -1, -1), targets.expand(count, -1))
        values = None if self.multiply == "noisy" else tokens.expand_as(noisy)
        return last.gradient_products(seen, gradients, values).mean(0)


class IntegratedCDAM(TokenEstimator):
    """S_i = Σ_j (T − T')_ij · ∫₀¹ ∂f_c/∂T_ij(T' + α (T − T')) dα, baseline T' = 0, by Gauss–Legendre quadrature.

    The sum over all tokens, prefix tokens included, is f_c(T) − f_c(T').

    Args:
        num_steps: points of the quadrature.
    """

    def __init__(self, num_steps: int = 50) -> None:
        self.num_steps = require_count("num_steps", num_steps)

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        last, (residual, cls_stream) = backbone.last_block, backbone.tokens_and_cls(images)
        return self._all_scores(last, residual, cls_stream, targets)[..., backbone.num_prefix_tokens :]

    def all_token_scores(self, backbone: Backbone, images: Tensor, targets: Tensor) -> Tensor:
        """Scores (B, K, P + N) of all tokens, prefix tokens first: they sum to f_c(T) − f_c(0). Targets are (B, K)."""
        images, targets, _ = checked_inputs(backbone, images, targets, None)
        with torch.no_grad():
            residual, cls_stream = backbone.tokens_and_cls(images)
            return self._all_scores(backbone.last_block, residual, cls_stream, targets, with_query=True)

    def _all_scores(
        self, last: LastBlock, residual: Tensor, cls_stream: Tensor, targets: Tensor, with_query: bool = False
    ) -> Tensor:
        """(B, K, P + N). Token 0 lacks what flows through its query unless `with_query`."""
        tokens = last.normalised(residual)
        nodes, weights = np.polynomial.legendre.leggauss(self.num_steps)
        alphas = torch.from_numpy((nodes + 1) / 2).to(tokens)
        weights = torch.from_numpy(weights / 2).to(tokens)
        rows = [
            self._scores_of_one(last, tokens[b], cls_stream[b], targets[b], alphas, weights, with_query)
            for b in range(len(tokens))
        ]
        return torch.stack(rows)

    @staticmethod
    def _scores_of_one(
        last: LastBlock,
        tokens: Tensor,
        cls_stream: Tensor,
        targets: Tensor,
        alphas: Tensor,
        weights: Tensor,
        with_query: bool,
    ) -> Tensor:
        """T (P + N, D), [CLS] stream (S, D), targets (K,), quadrature (n,) → (K, P + N).

        Every point of the path is α·T, so its products with any vectors are α times those of T, which is read once per
        product and never copied.
        """
        count = len(alphas)
        scale = alphas[:, None, None]
        query = torch.einsum("nD,hdD->nhd", alphas[:, None] * tokens[0], last.w_q) + last.b_q
        directions = last.key_directions(query)  # (n, H, D)
        scores = _products(directions, tokens)  # u(α)·T, (n, H, P + N)
        attention = (scale * scores).softmax(-1)
        pooled = (attention.flatten(0, 1) @ tokens).reshape(directions.shape)
        outputs = last.head_outputs(scale * pooled)
        gradients = last.output_gradients(outputs, cls_stream.expand(count, -1, -1), targets.expand(count, -1))
        value_directions = last.value_directions(gradients)  # (n, K, H, D)
        projected = _products(value_directions, tokens)  # w(α)·T, (n, K, H, P + N)
        attention, scores = attention[:, None], scores[:, None]
        mean = (attention * projected).sum(-1, keepdim=True)
        key_part = attention * (projected - mean) * scale[:, None]  # ∂f/∂scores at α·T
        per_step = torch.addcmul(attention * projected, key_part, scores).sum(2)  # (n, K, P + N)
        if with_query:
            pooled = (key_part.flatten(0, 2) @ tokens).reshape(value_directions.shape) * scale[:, None]
            query_gradient = torch.einsum("nkhD,hdD->nkhd", pooled, last.w_k) * last.scale
            moved = torch.einsum("D,hdD->hd", tokens[0], last.w_q)
            per_step[:, :, 0] += (query_gradient * moved).sum((-2, -1))
        return torch.einsum("n,nkt->kt", weights, per_step)


def _products(directions: Tensor, tokens: Tensor) -> Tensor:
    """Directions (..., D) times tokens (T, D): (..., T)."""
    return (directions.flatten(0, -2) @ tokens.T).reshape(*directions.shape[:-1], -1)
