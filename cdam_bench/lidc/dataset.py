"""Nodules as images: slices of 32³ crops in three views, grey as three channels, normalised as the training nodules are."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cdam_bench.datasets.multi_object import shuffled
from cdam_bench.datasets.preprocessing import Preprocessing
from cdam_bench.datasets.samples import Sample
from cdam_bench.errors import UserError, require
from cdam_bench.lidc.nodule_set import BIOMARKERS, NoduleSet
from cdam_bench.lidc.splits import PARTS, Fold, split_nodules

VIEWS = ("axial", "coronal", "sagittal")  # cut across z, y, x
MIDDLE = 16  # the slice that is evaluated; training draws from 14 … 18
TASKS = {"malignancy": ("malignancy",), "biomarkers": BIOMARKERS}  # task → names of the head's outputs
OUTPUT_KINDS = {"malignancy": "labels", "biomarkers": "quantities"}
LOW, HIGH = -1000.0, 400.0  # HU that become 0 and 1


def cut(cube: np.ndarray, view: str, index: int = MIDDLE) -> np.ndarray:
    """Slice `index` across the view's axis: (32, 32, 32), axes (z, y, x) → (32, 32)."""
    return cube.take(index, VIEWS.index(view))


def training_statistics(crops: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of crops (n, 32, 32, 32) in HU, on the scale where −1000 HU is 0 and 400 HU is 1."""
    scaled = (crops.astype(np.float64) - LOW) / (HIGH - LOW)
    return float(scaled.mean()), float(scaled.std())


def to_images(slices: Tensor, image_size: int, mean: float, std: float) -> Tensor:
    """Slices (B, 32, 32) in HU → (B, 3, image_size, image_size) float32, resized bilinearly and normalised."""
    grey = ((slices.float() - LOW) / (HIGH - LOW))[:, None]
    resized = F.interpolate(grey, size=(image_size, image_size), mode="bilinear", align_corners=False)
    return ((resized - mean) / std).expand(-1, 3, -1, -1)


class LidcNodules:
    """Nodules of one part of a fold, each as its middle slice in one view or several.

    All outputs of the head are targets: the malignancy logit, or the eight biomarkers in the order of BIOMARKERS. The consensus of
    the radiologists is the mask.

    Args:
        nodules: file of a NoduleSet with crops: a path, or one below `data_dir`.
        preprocessing: of the backbone; its image size is used. Mean and standard deviation are those of the training nodules.
        task: "malignancy" or "biomarkers".
        split, fold: see `split_nodules`.
        data_dir: where `nodules` is looked for too.
        part: "test", "validation" or "train".
        views: of "axial", "coronal", "sagittal". Several give several images of each nodule.
        num_images: how many nodules; None: all.
        seed: chooses them if not all are wanted.
    Raises:
        UserError: for unknown names, or a file without crops.
    """

    def __init__(
        self,
        nodules: str | Path,
        preprocessing: Preprocessing,
        task: str,
        data_dir: str | Path = ".",
        split: str = "paper",
        fold: Fold = 0,
        part: str = "test",
        views: Sequence[str] = ("axial",),
        num_images: int | None = None,
        seed: int = 0,
    ) -> None:
        for key, value, allowed in (
            ("task", task, TASKS),
            ("part", part, PARTS),
            *(("views", v, VIEWS) for v in views),
        ):
            if value not in allowed:
                raise UserError(f"{key}={value} is unknown: use one of {', '.join(allowed)}")
        require(len(views) > 0, f"views is empty: use some of {', '.join(VIEWS)}")
        self.nodules = with_crops(Path(nodules) if Path(nodules).is_file() else Path(data_dir) / nodules)
        crops, masks = self.nodules.crops, self.nodules.masks
        assert crops is not None
        assert masks is not None
        self.crops, self.masks = crops, masks
        parts = split_nodules(self.nodules.table, split, fold)
        mean, std = training_statistics(crops[parts["train"]])
        rows = dict(zip(self.nodules.table.nodule[parts[part]], parts[part].tolist(), strict=True))
        count = len(rows) if num_images is None else num_images
        require(0 < count <= len(rows), f"num_images={num_images}: the {part} part has {len(rows)} nodules")
        self.rows = [rows[name] for name in sorted(shuffled(list(rows), seed)[:count])]
        self.views = tuple(views)
        self.image_size = preprocessing.image_size
        self.class_names = TASKS[task]
        self.output_kind = OUTPUT_KINDS[task]
        self.mean, self.std = (mean,) * 3, (std,) * 3

    def __len__(self) -> int:
        return len(self.rows) * len(self.views)

    def __getitem__(self, index: int) -> Sample:
        place, view = divmod(index, len(self.views))
        row, view = self.rows[place], self.views[view]
        hu = torch.from_numpy(cut(self.crops[row], view))[None]
        image = to_images(hu, self.image_size, self.mean[0], self.std[0])[0]
        inside = torch.from_numpy(cut(self.masks[row], view)).float()[None, None]
        size = (self.image_size, self.image_size)
        mask = F.interpolate(inside, size=size, mode="bilinear", align_corners=False)[0, 0] >= 0.5
        name = f"{self.nodules.table.nodule.iloc[row]}/{view}"
        return Sample(name, image, tuple(range(len(self.class_names))), mask=mask)


@lru_cache(maxsize=1)
def _loaded(path: Path, _modified: int) -> NoduleSet:
    return NoduleSet.load(path)


def with_crops(path: Path) -> NoduleSet:
    """A NoduleSet with crops and masks; the last one read is kept, as sweeps ask for it again and again.

    Raises:
        UserError: if it has annotations alone.
    """
    nodules = _loaded(path, path.stat().st_mtime_ns) if path.is_file() else NoduleSet.load(path)
    require(
        nodules.crops is not None and nodules.masks is not None,
        f"nodules {path} have no crops: prepare them with dicom_dir=…, not with annotations_only=true",
    )
    return nodules
