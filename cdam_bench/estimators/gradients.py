"""Gradients with respect to the pixels, through captum: Input × Grad, Integrated Gradients, SmoothGrad.

Colour channels are summed, keeping the sign.
"""

import torch
from captum.attr import InputXGradient as CaptumInputXGradient
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from captum.attr import NoiseTunnel, Saliency
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.errors import require_count, require_number
from cdam_bench.estimators.base import PixelEstimator


class InputXGradient(PixelEstimator):
    """x ⊙ ∂f_c/∂x, x normalised. Source: Shrikumar et al. 2016."""

    def pixel_scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        return CaptumInputXGradient(backbone).attribute(images, target=targets)


class IntegratedGradients(PixelEstimator):
    """(x − x') ⊙ ∫₀¹ ∂f_c/∂x(x' + α (x − x')) dα by Gauss–Legendre quadrature.

    Args:
        num_steps: points of the quadrature.
        baseline: value of every pixel of x', in normalised units; 0 is the mean colour of the training images.
        internal_batch_size: images in one forward pass.
    Source: Sundararajan et al. 2017.
    """

    def __init__(self, num_steps: int = 50, baseline: float = 0.0, internal_batch_size: int = 64) -> None:
        self.num_steps = require_count("num_steps", num_steps)
        self.baseline = require_number("baseline", baseline, -100, 100)
        self.internal_batch_size = require_count("internal_batch_size", internal_batch_size)

    def pixel_scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        return CaptumIntegratedGradients(backbone).attribute(
            images,
            baselines=self.baseline,
            target=targets,
            n_steps=self.num_steps,
            method="gausslegendre",
            internal_batch_size=max(self.internal_batch_size, len(images)),
        )


class SmoothGrad(PixelEstimator):
    """Mean of ∂f_c/∂x over noisy images x + ε, ε ~ N(0, σ²), σ = noise_level · (max x − min x) of each image; signed.

    Args:
        num_samples: noisy images.
        noise_level: of the noise, as a share of the image's range.
        internal_batch_size: noisy images in one forward pass.
    Source: Smilkov et al. 2017.
    """

    def __init__(self, num_samples: int = 50, noise_level: float = 0.15, internal_batch_size: int = 64) -> None:
        self.num_samples = require_count("num_samples", num_samples)
        self.noise_level = require_number("noise_level", noise_level, 0, 100)
        self.internal_batch_size = require_count("internal_batch_size", internal_batch_size)

    def pixel_scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        tunnel = NoiseTunnel(Saliency(backbone))
        devices = [images.device] if images.is_cuda else []
        maps = []
        for image, target, seed in zip(images.split(1), targets, seeds.tolist(), strict=True):
            sigma = self.noise_level * float(image.max() - image.min())
            # captum draws from the global generator: give it this image's seed, and put it back afterwards
            with torch.random.fork_rng(devices):
                torch.manual_seed(seed)
                maps.append(
                    tunnel.attribute(
                        image,
                        nt_type="smoothgrad",
                        nt_samples=self.num_samples,
                        nt_samples_batch_size=min(self.internal_batch_size, self.num_samples),
                        stdevs=sigma,
                        target=target.reshape(1),
                        abs=False,
                    )
                )
        return torch.cat(maps)
