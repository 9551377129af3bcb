"""RISE: the mean output over random masks that show a pixel."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.errors import require_count, require_number
from cdam_bench.estimators.masking import MaskingEstimator, masked_outputs


class RISE(MaskingEstimator):
    """S_x = E[f_c(image ⊙ M) | M shows x] − E[f_c(image ⊙ M)] over random masks M; signed, class-aware.

    A mask is a grid of cells, each shown with probability p, enlarged smoothly and shifted by less than a cell. The first term is
    the paper's; it is estimated by Σ f·M_x / Σ M_x, because outputs are not probabilities here and the paper's Σ f·M_x / (n·p)
    would show how often the masks happened to show x. The second is one number, ours: 0 is neutral, and no rank changes.

    Args:
        num_passes: budget of forward passes per image: the number of masks.
        cells: of the grid, along each side.
        probability: p.
        baseline, internal_batch_size: as in MaskingEstimator.

    Cost: num_passes forward passes; all targets share them. Source: Petsiuk et al. 2018, "RISE: Randomized Input Sampling for
    Explanation of Black-box Models".
    """

    signed, class_aware = True, True

    def __init__(
        self,
        num_passes: int = 1000,
        cells: int = 7,
        probability: float = 0.5,
        baseline: float = 0.0,
        internal_batch_size: int = 64,
    ) -> None:
        super().__init__(num_passes, baseline, internal_batch_size)
        self.cells = require_count("cells", cells)
        self.probability = require_number("probability", probability, 0.01, 0.99)

    def masks(self, size: tuple[int, int], seed: int) -> tuple[Tensor, Tensor]:
        """What the seed draws for images of (H, W): shown cells (n, s, s), 0 or 1, and shifts (n, 2) in pixels; on the CPU."""
        generator = torch.Generator().manual_seed(seed)
        shown = torch.rand(self.num_passes, self.cells, self.cells, generator=generator) < self.probability
        shares = torch.rand(self.num_passes, 2, generator=generator)
        return shown.float(), (shares * torch.tensor([-(-side // self.cells) for side in size])).long()

    def maps_of_one(self, backbone: Backbone, image: Tensor, targets: Tensor, seed: int) -> Tensor:
        size = (image.shape[-2], image.shape[-1])
        shown, shifts = (drawn.to(image.device) for drawn in self.masks(size, seed))

        def masks(part: slice) -> Tensor:
            return _enlarged(shown[part].to(image.dtype), shifts[part], size)

        total = image.new_zeros(len(targets), *size)
        covered, mean = image.new_zeros(size), image.new_zeros(len(targets))
        background = image.new_tensor(self.baseline)
        reference = backbone(image[None])[0, targets]  # differences from it lose nothing to rounding
        asked = masked_outputs(backbone, image, background, self.num_passes, masks, targets, self.micro_batch)
        for mask, outputs in asked:
            change = outputs - reference
            total += torch.einsum("nk,nhw->khw", change, mask)
            covered += mask.sum(0)
            mean += change.sum(0) / self.num_passes
        tiny = torch.finfo(covered.dtype).tiny  # a pixel that no mask shows is neutral
        return torch.where(covered > 0, total / covered.clamp(min=tiny) - mean[:, None, None], 0)


def _enlarged(shown: Tensor, shifts: Tensor, size: tuple[int, int]) -> Tensor:
    """Cells (n, s, s), shifts (n, 2) → masks (n, H, W) in [0, 1]: one cell more than the image along each axis, then cut out."""
    cell = [-(-side // shown.shape[-1]) for side in size]
    large = [(shown.shape[-1] + 1) * side for side in cell]
    masks = F.interpolate(shown[:, None], large, mode="bilinear", align_corners=False)[:, 0]
    rows, columns = (shifts[:, i, None] + torch.arange(size[i], device=shifts.device) for i in range(2))
    return masks[torch.arange(len(shown), device=shifts.device)[:, None, None], rows[:, :, None], columns[:, None]]
