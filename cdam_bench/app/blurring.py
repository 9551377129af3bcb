"""What happens to an output as the most important patches are blurred: curves, and the pictures at every step."""

from dataclasses import dataclass

import numpy as np
import torch

from cdam_bench.app.answers import Answer, Examples, prepared_picture
from cdam_bench.app.models import Models
from cdam_bench.app.uploads import Upload
from cdam_bench.metrics.fills import Scene, blurred
from cdam_bench.metrics.perturbation import PAPER_BLUR_SIGMA, perturbation_curves
from cdam_bench.metrics.ranking import ranking_map, ranks_of

UNITS = ("patch", "pixel")  # a backbone whose patches do not divide its images has its pixels ranked


@dataclass(frozen=True)
class Blurring:
    """MIF curves of one answer: R maps in all, of all methods and targets.

    Args:
        names: of the maps, (method, target), R of them.
        curves: outputs of the maps' own targets (R, steps + 1).
        blurred_at: (R, H, W) 8-bit: the step at which each pixel is blurred.
        pixels: the picture blurred everywhere (H, W, 3) in [0, 1].
        unit: what is ranked, "patch" or "pixel".
    """

    names: list[tuple[str, str]]
    curves: np.ndarray
    blurred_at: np.ndarray
    pixels: np.ndarray
    unit: str

    @property
    def steps(self) -> int:
        """From nothing to everything blurred."""
        return self.curves.shape[1] - 1


def blurring(answered: Answer, upload: Upload, examples: Examples, models: Models, steps: int) -> Blurring:
    """Blur the most important patches first, by every map of an answer; the blur is the paper's, for the image's side.

    Args:
        answered: with the maps.
        upload, examples, models: as they were for the answer.
        steps: of equal shares of the pixels.
    Raises:
        UserError: when the time is up.
    """
    prepared = prepared_picture(answered.question, upload, examples, models)
    found, backbone = answered.explanation, prepared.backbone
    names = [(method, target.name) for method in found.maps for target in found.targets]
    maps = torch.stack([torch.from_numpy(found.maps[method][target]) for method, target in names])[None]  # (1, R, H, W)
    images, (height, width) = prepared.image[None], prepared.image.shape[-2:]
    sigma = PAPER_BLUR_SIGMA * min(height, width) / 224
    unit = UNITS[0] if height % backbone.patch_size == width % backbone.patch_size == 0 else UNITS[1]
    curves = perturbation_curves(backbone, images, maps, "mif", steps, sigma, unit)[0]  # (R, steps + 1, C)
    outputs = torch.tensor([target.index for target in found.targets] * len(found.maps), device=curves.device)
    own = curves.gather(-1, outputs[:, None, None].expand(-1, curves.shape[1], 1))[..., 0]
    ranks = ranks_of(ranking_map(maps, unit, "signed", backbone.patch_size))[0].numpy()
    counts = np.round(np.arange(steps + 1) / steps * height * width).astype(int)
    blurred_at = np.searchsorted(counts, ranks, side="right").astype(np.uint8).reshape(-1, height, width)
    preprocessing = models.get(answered.question.backbone, answered.question.weights).preprocessing
    pixels = preprocessing.to_pixels(blurred(Scene(images, sigma))[0]).permute(1, 2, 0).numpy()
    return Blurring(names, own.cpu().numpy(), blurred_at, pixels, unit)
