"""NoduleSet: nodules with their crops, masks, labels and biomarkers, in one file that says what it holds."""

import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cdam_bench.errors import UserError, require
from cdam_bench.store.files import write_atomically

FORMAT = 1
RATED = ("subtlety", "calcification", "sphericity", "margin", "lobulation", "spiculation", "texture")
BIOMARKERS = (*RATED, "diameter")  # mean ratings, of 1–5 (calcification: 1–6), and mm
CLASSES = ("benign", "malignant")  # label 0 and 1
TABLE = "table/"
SIDE = 32
ARRAYS = {
    "table/<column>": "one value per nodule; patient, label (1: malignant) and eight biomarkers among them",
    "crops": "(N, 32, 32, 32) int16, HU in [−1000, 400]; axes z (feet to head), y, x; 1 mm; voxel 16 is the centre of the box",
    "masks": "(N, 4096) uint8: numpy.packbits of (N, 32, 32, 32) bool, the voxels that at least half of the radiologists outlined",
}


@dataclass(frozen=True)
class NoduleSet:
    """Nodules, in the order of their names.

    Args:
        table: a row per nodule, with the columns nodule, patient, label and the biomarkers, among others.
        crops: (N, 32, 32, 32) int16 in HU, axes (z, y, x), 1 mm voxels; None if there are annotations alone.
        masks: (N, 32, 32, 32) bool, or None.
        description: where they come from; what was skipped, and why.
    """

    table: pd.DataFrame
    crops: np.ndarray | None = None
    masks: np.ndarray | None = None
    description: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    def counts(self) -> str:
        """How many nodules, of which class, of how many patients."""
        per_class = ", ".join(f"{int((self.table.label == label).sum())} {name}" for label, name in enumerate(CLASSES))
        return f"{len(self)} nodules ({per_class}) of {self.table.patient.nunique()} patients"

    def save(self, path: str | Path) -> None:
        """Write everything into one .npz file, which `numpy.load` reads without pickle."""
        arrays = {f"{TABLE}{name}": plain(column) for name, column in self.table.items()}
        if self.crops is not None:
            arrays["crops"] = self.crops
        if self.masks is not None:
            arrays["masks"] = np.packbits(self.masks.reshape(len(self), -1), axis=1)
        described = {"format": FORMAT, "arrays": ARRAYS, **self.description}
        arrays["description"] = np.array(json.dumps(described, indent=1, ensure_ascii=False))
        buffer = io.BytesIO()
        members: Any = arrays
        np.savez_compressed(buffer, **members)
        write_atomically(Path(path), buffer.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> "NoduleSet":
        """Read a file of `save`.

        Raises:
            UserError: if it is missing, damaged or of another format.
        """
        path = Path(path)
        require(
            path.is_file(),
            f"nodules {path} not found: make them with `cdam-bench prepare lidc`, or without CTs with `cdam-bench prepare phantom`",
        )
        try:
            with np.load(path, allow_pickle=False) as stored:
                description = json.loads(str(stored["description"]))
                columns = {name.removeprefix(TABLE): stored[name] for name in stored.files if name.startswith(TABLE)}
                crops = stored["crops"] if "crops" in stored.files else None
                packed = stored["masks"] if "masks" in stored.files else None
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(f"nodules {path} cannot be read ({str(error)[:80]}): make them again") from error
        require(
            description.get("format") == FORMAT,
            f"nodules {path} have format {description.get('format')}, this version reads {FORMAT}: make them again",
        )
        masks = None if packed is None else np.unpackbits(packed, axis=1).astype(bool).reshape(-1, SIDE, SIDE, SIDE)
        return cls(pd.DataFrame(columns), crops, masks, description)


def plain(column: pd.Series) -> np.ndarray:
    """A column as an array that needs no pickle."""
    return column.to_numpy(dtype=np.str_) if column.dtype.kind not in "biuf" else column.to_numpy()
