"""Pictures in class folders, to learn from: in an order and with random crops that depend on (seed, epoch, picture) alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from torchvision.transforms import Compose

from cdam_bench.datasets.multi_object import shuffled
from cdam_bench.datasets.pictures import PictureFile, is_picture, read_picture, some
from cdam_bench.datasets.preprocessing import Preprocessing
from cdam_bench.datasets.samples import image_seed
from cdam_bench.errors import require
from cdam_bench.store.files import fingerprint
from cdam_bench.training.processes import Processes

Labelled = list[tuple[Path, int]]


class LabelledPictures(Dataset[tuple[Tensor, int]]):
    """Pictures with their class, prepared for the backbone.

    Args:
        pictures: files and class indices.
        transform: picture → (3, H, W), normalised.
        seed: of the transform's random choices; they also depend on `epoch` and the picture's name.
    """

    def __init__(self, pictures: Labelled, transform: Compose | Preprocessing, seed: int = 0) -> None:
        self.pictures, self.transform, self.seed = pictures, transform, seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.pictures[index]
        picture = read_picture(PictureFile(path))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(image_seed(f"{self.epoch}/{path.name}", self.seed))
            return self.transform(picture), label


class EpochSampler(Sampler[int]):
    """This process's share of the images, shuffled by (seed, epoch), from a given step on.

    Args:
        count: images in all.
        batch_size: of all processes together.
        processes: who shares.
        seed: of the run.
    """

    def __init__(self, count: int, batch_size: int, processes: Processes, seed: int) -> None:
        self.count, self.batch_size, self.processes, self.seed = count, batch_size, processes, seed
        self.epoch = self.first_step = 0

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch)
        order = torch.randperm(self.count, generator=generator).tolist()
        order += order[: -self.count % self.processes.count]  # every process gets equally many
        return iter(order[self.first_step * self.batch_size :][self.processes.rank :: self.processes.count])

    def __len__(self) -> int:
        left = self.count + -self.count % self.processes.count - self.first_step * self.batch_size
        return left // self.processes.count


def labelled_pictures(folder: Path, classes: Sequence[str] | None = None) -> tuple[Labelled, list[str]]:
    """Pictures in class folders, with the index of their folder in `classes` (None: all folders, sorted).

    Raises:
        UserError: if there are no class folders, or others than `classes`.
    """
    require(folder.is_dir(), f"{folder} not found: give a folder with one sub-folder of images per class")
    found = sorted(path.name for path in folder.iterdir() if path.is_dir())
    require(
        len(found) > 1, f"{folder} has {len(found)} sub-folders: give a folder with one sub-folder of images per class"
    )
    classes = found if classes is None else list(classes)
    unknown = sorted(set(found) - set(classes))
    require(not unknown, f"{folder} has classes that the training images lack: {some(unknown)}")
    pictures = [
        (path, label)
        for label, name in enumerate(classes)
        if (folder / name).is_dir()
        for path in sorted((folder / name).iterdir())
        if is_picture(path)
    ]
    require(bool(pictures), f"no images in {folder}")
    return pictures, classes


def split(pictures: Labelled, share: float, seed: int) -> tuple[Labelled, Labelled]:
    """Training and validation pictures: `share` of every class, by their names, is set aside."""
    require(0 < share < 1, f"val_share={share}: must be in (0, 1), or give val_dir")
    training, validation = [], []
    for label in sorted({label for _, label in pictures}):
        paths = {str(path.name): path for path, c in pictures if c == label}
        names = shuffled(list(paths), seed)
        held_out = max(1, round(share * len(names))) if len(names) > 1 else 0
        validation += [(paths[name], label) for name in names[:held_out]]
        training += [(paths[name], label) for name in names[held_out:]]
    require(bool(validation), "no class has more than one image: give val_dir")
    return training, validation


def names_digest(pictures: Labelled, classes: Sequence[str]) -> str:
    """Digest of which pictures of which classes there are, by name: their contents are too many to read."""
    return fingerprint({"pictures": [f"{classes[label]}/{path.name}" for path, label in pictures]})
