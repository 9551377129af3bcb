"""Pictures of any kind as fine-tuned weights want them: grey, normalised as the nodules they were trained on."""

from typing import Any

from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as F

from cdam_bench.datasets.preprocessing import Preprocessing


class GreyPreprocessing(Preprocessing):
    """Pictures are converted to grey, which stands in all three channels: black is −1000 HU, white is 400 HU.

    Args:
        image_size: side of the square the weights were trained on, in pixels.
        mean, std: of the grey values of the training nodules.
    """

    def __init__(self, image_size: int, mean: float, std: float) -> None:
        super().__init__(image_size, interpolation="bilinear", mean=(mean,) * 3, std=(std,) * 3)

    def normalised(self, picture: Image.Image | Tensor) -> Tensor:
        either: Any = picture  # torchvision takes both and says Tensor
        return super().normalised(F.rgb_to_grayscale(either, num_output_channels=3))
