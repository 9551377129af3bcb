"""Gradients with respect to the pixels: Input × Grad, Integrated Gradients, SmoothGrad.

Each is a weighted sum of gradients at n points per image; colour channels are summed, keeping the sign. The K targets of an image
share the forward pass at every point and have one backward pass each.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.computing.micro_batches import MicroBatch
from cdam_bench.errors import require_count, require_number
from cdam_bench.estimators import noise
from cdam_bench.estimators.base import PixelEstimator
from cdam_bench.estimators.baselines import baseline_images, require_baseline


class _WeightedGradients(PixelEstimator):
    """S = Σ over channels of φ ⊙ Σ_r w_r ∂f_c/∂x(x_r), with points x_r and factors φ of each image.

    Args:
        internal_batch_size: points in one forward pass, of one image or several; halved when memory runs out.
    """

    class_aware = True

    def __init__(self, internal_batch_size: int = 64) -> None:
        self.micro_batch = MicroBatch(require_count("internal_batch_size", internal_batch_size))

    @abstractmethod
    def weights(self) -> Tensor:
        """w (n,), on the CPU."""

    @abstractmethod
    def points(self, backbone: Backbone, images: Tensor, seeds: Tensor) -> Callable[[int, slice], Tensor]:
        """From an image's number and some of 0 … n − 1 to those points x_r (r, 3, H, W)."""

    @abstractmethod
    def factors(self, backbone: Backbone, images: Tensor) -> Tensor:
        """φ (B, 3, H, W)."""

    def pixel_scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        weights = self.weights().to(images)
        factors, points = self.factors(backbone, images), self.points(backbone, images, seeds)
        scores = images.new_zeros(*targets.shape, *images.shape[-2:])

        def shares(rows: slice) -> list[tuple[int, Tensor]]:
            """What some of the B·n points, image after image, add to the maps (K, H, W) of which images."""
            parts = list(_per_image(rows, len(weights)))
            lengths = [part.stop - part.start for _, part in parts]
            asked = torch.cat([points(b, part) for b, part in parts])
            wanted = torch.cat([targets[b].expand(length, -1) for (b, _), length in zip(parts, lengths, strict=True)])
            maps: list[list[Tensor]] = [[] for _ in parts]
            for gradient in _gradients(backbone, asked, wanted):
                for own, (b, part), one in zip(maps, parts, gradient.split(lengths), strict=True):
                    own.append((factors[b] * torch.einsum("n,nchw->chw", weights[part], one)).sum(0))
            return [(b, torch.stack(own)) for own, (b, _) in zip(maps, parts, strict=True)]

        for added in self.micro_batch.each(len(images) * len(weights), shares):
            for b, share in added:
                scores[b] += share
        return scores


def _per_image(rows: slice, count: int) -> Iterator[tuple[int, slice]]:
    """Rows of a list that has `count` of every image, image after image: each image's number, and which of its own they are."""
    for b in range(rows.start // count, (rows.stop - 1) // count + 1):
        yield b, slice(max(rows.start - b * count, 0), min(rows.stop - b * count, count))


def _gradients(backbone: Backbone, images: Tensor, targets: Tensor) -> Iterator[Tensor]:
    """∂f_c/∂x (B, 3, H, W) for each of the K targets (B, K) in turn: one forward pass, K backward."""
    with torch.enable_grad():
        leaf = images.detach().requires_grad_()
        outputs = backbone(leaf).gather(1, targets).sum(0).unbind()
    for k, output in enumerate(outputs):
        yield torch.autograd.grad(output, leaf, retain_graph=k < len(outputs) - 1)[0]


class InputXGradient(_WeightedGradients):
    """x ⊙ ∂f_c/∂x, x normalised.

    Cost: one forward pass, and a backward pass per target. Source: Shrikumar et al. 2016.
    """

    def __init__(self) -> None:
        super().__init__()

    def weights(self) -> Tensor:
        return torch.ones(1)

    def points(self, backbone: Backbone, images: Tensor, seeds: Tensor) -> Callable[[int, slice], Tensor]:
        return lambda b, part: images[b : b + 1][part]

    def factors(self, backbone: Backbone, images: Tensor) -> Tensor:
        return images


class IntegratedGradients(_WeightedGradients):
    """(x − x') ⊙ ∫₀¹ ∂f_c/∂x(x' + α (x − x')) dα by Gauss–Legendre quadrature.

    Args:
        num_steps: points of the quadrature.
        baseline: value of every pixel of x', in normalised units, 0 being the mean colour of the training images; or its name:
            "mean" (0), "black", "white" (both need a backbone that knows its preprocessing) or "blur", the blurred image.
        internal_batch_size: points in one forward pass.
    Cost: num_steps forward passes, and as many backward passes per target. Source: Sundararajan et al. 2017.
    """

    def __init__(self, num_steps: int = 50, baseline: float | str = 0.0, internal_batch_size: int = 64) -> None:
        super().__init__(internal_batch_size)
        self.num_steps = require_count("num_steps", num_steps)
        self.baseline = require_baseline(baseline)

    def weights(self) -> Tensor:
        return torch.from_numpy(np.polynomial.legendre.leggauss(self.num_steps)[1] / 2)

    def points(self, backbone: Backbone, images: Tensor, seeds: Tensor) -> Callable[[int, slice], Tensor]:
        nodes = torch.from_numpy(np.polynomial.legendre.leggauss(self.num_steps)[0] / 2 + 0.5)
        alphas, starts = nodes.to(images)[:, None, None, None], baseline_images(self.baseline, backbone, images)
        return lambda b, part: starts[b] + alphas[part] * (images[b] - starts[b])

    def factors(self, backbone: Backbone, images: Tensor) -> Tensor:
        return images - baseline_images(self.baseline, backbone, images)


class SmoothGrad(_WeightedGradients):
    """Mean of ∂f_c/∂x over noisy images x + ε, ε ~ N(0, σ²), σ = noise_level · (max x − min x) of each image; signed.

    Args:
        num_samples: noisy images.
        noise_level: of the noise, as a share of the image's range.
        internal_batch_size: noisy images in one forward pass.
    Cost: num_samples forward passes, and as many backward passes per target. Source: Smilkov et al. 2017.
    """

    def __init__(self, num_samples: int = 50, noise_level: float = 0.15, internal_batch_size: int = 64) -> None:
        super().__init__(internal_batch_size)
        self.num_samples = require_count("num_samples", num_samples)
        self.noise_level = require_number("noise_level", noise_level, 0, 100)

    def weights(self) -> Tensor:
        return torch.full((self.num_samples,), 1 / self.num_samples)

    def points(self, backbone: Backbone, images: Tensor, seeds: Tensor) -> Callable[[int, slice], Tensor]:
        numbers = seeds.tolist()

        @lru_cache(maxsize=1)  # an image's noise is drawn once, though its points may be asked for in parts
        def noisy(b: int) -> Tensor:
            image = images[b]
            drawn = noise.standard_normal((self.num_samples, *image.shape), numbers[b], image.device)
            return drawn.mul_(self.noise_level * (image.max() - image.min())).add_(image)

        return lambda b, part: noisy(b)[part]

    def factors(self, backbone: Backbone, images: Tensor) -> Tensor:
        return torch.ones_like(images[:, :1])
