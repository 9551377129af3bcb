"""Datasets whose images are drawn, each from (seed, index) alone."""

from abc import ABC, abstractmethod

from cdam_bench.datasets.preprocessing import Preprocessing
from cdam_bench.datasets.samples import Sample
from cdam_bench.errors import require_count, require_whole


class DrawnScenes(ABC):
    """What datasets of drawn scenes have in common.

    Args:
        preprocessing: how a picture becomes the backbone's input.
        num_images: scenes in the dataset.
        seed: scene i depends on (seed, i) alone.
    Raises:
        UserError: for numbers that cannot be.
    """

    def __init__(self, preprocessing: Preprocessing, num_images: int, seed: int) -> None:
        require_count("num_images", num_images)
        require_whole("seed", seed)
        self.num_images, self.seed = num_images, seed
        self.preprocessing = preprocessing
        self.mean, self.std = preprocessing.mean, preprocessing.std

    def __len__(self) -> int:
        return self.num_images

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.num_images:
            raise IndexError(index)
        return self.draw(index)

    @abstractmethod
    def draw(self, index: int) -> Sample:
        """Scene number `index`."""
