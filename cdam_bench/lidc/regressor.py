"""The model that is fine-tuned, and the images of nodules it sees."""

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from cdam_bench.errors import require, require_count
from cdam_bench.lidc.dataset import MIDDLE, VIEWS, cut, to_images

SLICES = range(14, 19)  # of which training takes a random one


class NoduleRegressor(nn.Module):
    """A ViT with a linear head on [CLS], of which the last tensors are trained.

    Args:
        vit: without a head of its own.
        outputs: of the head.
        trainable_layers: how many parameter tensors are trained, counted from the end, the head's two among them; "all".
    """

    def __init__(self, vit: VisionTransformer, outputs: int, trainable_layers: int | str) -> None:
        super().__init__()
        self.vit, self.head = vit, nn.Linear(vit.embed_dim, outputs)
        named = [*vit.named_parameters(), *((f"head.{name}", p) for name, p in self.head.named_parameters())]
        count = len(named) if trainable_layers == "all" else require_count("trainable_layers", trainable_layers)
        require(
            2 <= count <= len(named),
            f"trainable_layers={trainable_layers}: use 2 (the head alone) to {len(named)}, or all",
        )
        self.trained = dict(named[-count:])
        for name, parameter in named:
            parameter.requires_grad_(name in self.trained)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, outputs)."""
        return self.head(self.vit(images))

    def trained_tensors(self) -> dict[str, Tensor]:
        """Copies of what is trained, by name."""
        return {name: parameter.detach().cpu().clone() for name, parameter in self.trained.items()}

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take the values of `trained_tensors`."""
        for name, parameter in self.trained.items():
            parameter.copy_(tensors[name])


class NoduleSlices:
    """Images of nodules for training and for evaluation.

    Args:
        crops: (N, 32, 32, 32) int16 in HU.
        image_size: side in pixels.
        mean, std: of the training crops.
        device: where the images go.
    """

    def __init__(self, crops: np.ndarray, image_size: int, mean: float, std: float, device: torch.device) -> None:
        self.crops, self.image_size, self.mean, self.std, self.device = crops, image_size, mean, std, device

    def training(self, rows: np.ndarray, rotations: bool, generator: np.random.Generator) -> Tensor:
        """One random slice (14 … 18) of each nodule, in a random view, turned by a random multiple of 90°."""
        indices = generator.integers(SLICES.start, SLICES.stop, len(rows))
        views = generator.integers(len(VIEWS), size=len(rows))
        turns = generator.integers(4, size=len(rows)) * rotations
        drawn = zip(rows, views, indices, turns, strict=True)
        return self._images([np.rot90(cut(self.crops[row], VIEWS[v], i), turn) for row, v, i, turn in drawn])

    def evaluated(self, rows: np.ndarray, view: str) -> Tensor:
        """The middle slice of each nodule."""
        return self._images([cut(self.crops[row], view, MIDDLE) for row in rows])

    def _images(self, slices: list[np.ndarray]) -> Tensor:
        return to_images(torch.from_numpy(np.stack(slices)).to(self.device), self.image_size, self.mean, self.std)
