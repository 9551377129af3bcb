"""KernelSHAP: Shapley values of squares of patches, by weighted least squares over coalitions."""

import math
from itertools import product

import torch
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.computing.micro_batches import MicroBatch
from cdam_bench.errors import require, require_count, require_number
from cdam_bench.estimators.base import TokenEstimator
from cdam_bench.estimators.masking import masked_outputs


class KernelSHAP(TokenEstimator):
    """Shapley values of the squares of an image, hidden ones at a baseline; signed, class-aware.

    The values φ are the weighted least-squares fit of f_c(coalition) ≈ f_c(nothing) + Σ of φ over its members, with
    Σ φ = f_c(image) − f_c(nothing) exactly. Where the budget allows every coalition, all are used and φ is exact; otherwise
    coalitions are drawn from the kernel's weights, each with its complement. All patches of a square have its value.

    Args:
        num_passes: budget of forward passes per image.
        cell: side of a square in patches.
        baseline: value of hidden pixels, in normalised units; 0 is the mean colour of the training images.
        internal_batch_size: copies in one forward pass; halved when memory runs out.
    Raises:
        UserError: on use, for a budget of less than two forward passes per square, or an image of a single square.

    Cost: num_passes forward passes at most; all targets share them. Source: Lundberg & Lee 2017, "A Unified Approach to
    Interpreting Model Predictions"; complements as in Covert & Lee 2021.
    """

    signed, class_aware = True, True

    def __init__(
        self, num_passes: int = 1000, cell: int = 2, baseline: float = 0.0, internal_batch_size: int = 64
    ) -> None:
        self.num_passes = require_count("num_passes", num_passes)
        self.cell = require_count("cell", cell)
        self.baseline = require_number("baseline", baseline, -100, 100)
        self.micro_batch = MicroBatch(require_count("internal_batch_size", internal_batch_size))

    def squares(self, backbone: Backbone, images: Tensor) -> Tensor:
        """Number (h, w) of the square that every patch of the images is in, 0 … M − 1, on the CPU."""
        height, width = backbone.grid(images)
        rows, columns = torch.arange(height) // self.cell, torch.arange(width) // self.cell
        return rows[:, None] * (columns[-1] + 1) + columns

    def scores(self, backbone: Backbone, images: Tensor, targets: Tensor, seeds: Tensor) -> Tensor:
        backbone.check_images(images)
        squares = self.squares(backbone, images)
        count = int(squares.max()) + 1
        require(count > 1, f"cell={self.cell}: one square of {self.cell} patches covers the image, use a smaller one")
        require(
            self.num_passes >= 2 * count,
            f"num_passes={self.num_passes}: the values of {count} squares need {2 * count} or more",
        )
        rows = [
            self._scores_of_one(backbone, image, image_targets, coalitions(count, self.num_passes - 2, seed), squares)
            for image, image_targets, seed in zip(images, targets, seeds.tolist(), strict=True)
        ]
        return torch.stack(rows)

    def _scores_of_one(
        self, backbone: Backbone, image: Tensor, targets: Tensor, drawn: tuple[Tensor, Tensor], squares: Tensor
    ) -> Tensor:
        """Image (3, H, W), targets (K,), coalitions and weights, squares (h, w) → (K, N)."""
        members, weights = drawn
        count = members.shape[1]
        everything = torch.cat([torch.zeros(1, count), torch.ones(1, count), members]).to(image)
        squares = squares.to(image.device)
        pixels = backbone.on_pixels(squares, image.shape[-2:])  # (H, W)
        background = image.new_tensor(self.baseline)

        def masks(part: slice) -> Tensor:
            return everything[part][:, pixels]

        asked = masked_outputs(backbone, image, background, len(everything), masks, targets, self.micro_batch)
        outputs = torch.cat([some for _, some in asked])
        gained = outputs[2:] - outputs[0]  # (n, K)
        whole = outputs[1] - outputs[0]
        solve, last = (part.to(image) for part in _least_squares(members, weights))
        values = solve @ (gained - last[:, None] * whole)  # (M − 1, K)
        values = torch.cat([values, (whole - values.sum(0))[None]])
        return values.T[:, squares.flatten()]


def coalitions(count: int, budget: int, seed: int) -> tuple[Tensor, Tensor]:
    """Coalitions of `count` players, neither empty nor full, and their weights in the fit: (n, M) of 0 and 1, (n,).

    All of them with the Shapley kernel's weights if there are not more than `budget`; otherwise drawn with those weights, in
    pairs of complements, each then counting the same.
    """
    if 2**count - 2 <= budget:
        every = torch.tensor(list(product((0.0, 1.0), repeat=count)))[1:-1]
        sizes = [int(size) for size in every.sum(1)]
        kernel = [(count - 1) / (math.comb(count, size) * size * (count - size)) for size in sizes]
        return every, torch.tensor(kernel, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.arange(1, count, dtype=torch.float64)
    pairs = budget // 2
    drawn = torch.multinomial(1 / (sizes * (count - sizes)), pairs, replacement=True, generator=generator) + 1
    ranks = torch.rand(pairs, count, generator=generator).argsort(1).argsort(1)
    members = (ranks < drawn[:, None]).float()
    return torch.stack([members, 1 - members], 1).flatten(0, 1), torch.ones(2 * pairs, dtype=torch.float64)


def _least_squares(members: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The fit with the last player's value eliminated by the sum of all.

    Returns:
        (M − 1, n), which times what every coalition gained, less the whole's gain where it has the last player, gives the other
        players' values; and (n,) whether it has the last player. On the CPU in double precision: they depend on no output.
    """
    members = members.double()
    last = members[:, -1]
    root = weights.sqrt()
    return torch.linalg.pinv(root[:, None] * (members[:, :-1] - last[:, None])) * root, last
