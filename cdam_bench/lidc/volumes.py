"""From a DICOM series to cubes of 1 mm voxels around nodules."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk  # noqa: N813 (its own abbreviation)
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

SIDE = 32  # voxels of 1 mm
CENTRE = SIDE // 2  # index of the voxel at the centre of the nodule's box: slice 16 cuts through it
HU_RANGE = (-1000, 400)
AIR = -1000
POSITION_TOLERANCE = (
    0.01  # of the spacing of slices; in the database's regular scans positions are off by 0.0001 at most
)
AXIAL = (1, 0, 0, 0, 1, 0)


class UnusableScanError(Exception):
    """A scan that has to be skipped, and why, in one line."""


@dataclass(frozen=True)
class Volume:
    """A CT scan on a regular grid.

    Args:
        image: SimpleITK image in HU, (x, y, z); its origin is the first voxel.
        spacing: (z, y, x) in mm.
    """

    image: sitk.Image
    spacing: np.ndarray

    @property
    def shape(self) -> np.ndarray:
        """Voxels along z, y, x."""
        return np.array(self.image.GetSize()[::-1])


@dataclass(frozen=True)
class Crop:
    """A cube of 32 mm around a nodule, axes (z, y, x), voxels of 1 mm; voxel 16 along each axis is the centre of its box.

    Args:
        hu: (32, 32, 32) int16 in [−1000, 400].
        mask: (32, 32, 32) bool.
        padded: share of the cube that lies beyond the volume and is filled with air.
    """

    hu: np.ndarray
    mask: np.ndarray
    padded: float


def series_in(folder: Path) -> dict[str, list[Path]]:
    """All DICOM files (.dcm) below a folder, by their SeriesInstanceUID.

    Raises:
        UnusableScanError: for a file that is no DICOM.
    """
    series: dict[str, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".dcm"):
        header = _read(path, specific_tags=["SeriesInstanceUID"], stop_before_pixels=True)
        series.setdefault(str(header.get("SeriesInstanceUID", "")).strip(), []).append(path)
    return series


def find_series(dicom_dir: Path, patient: str, uid: str) -> list[Path]:
    """Files of one series of a patient, wherever below `dicom_dir/patient` they are.

    Raises:
        UnusableScanError: if the folder or the series is not there.
    """
    folder = dicom_dir / patient
    if not folder.is_dir():
        raise UnusableScanError(f"no folder {patient} in {dicom_dir}")
    found = series_in(folder)
    if uid not in found:
        others = f"{len(found)} other series" if found else "no DICOM files (.dcm)"
        raise UnusableScanError(f"series {uid} is not in {folder}, which has {others}")
    return found[uid]


def read_volume(files: list[Path], positions: np.ndarray, pixel_spacing: float) -> Volume:
    """Read a series and check that it is the annotated one, whole and regular.

    Args:
        files: of the series, in any order. Of slices at the same place the one with the lowest InstanceNumber is taken, as
            pylidc does.
        positions: z of the slices that the annotations refer to, in mm.
        pixel_spacing: of the annotated scan, in mm.
    Raises:
        UnusableScanError: if slices are missing or too many, unevenly spaced, not axial, or of another size.
    """
    slices: dict[float, Dataset] = {}
    for header in sorted((_read(path) for path in files), key=lambda header: int(header.get("InstanceNumber", 0))):
        _check_slice(header, pixel_spacing)
        slices.setdefault(float(header.ImagePositionPatient[2]), header)
    found = np.array(sorted(slices))
    _check_positions(found, np.sort(positions))
    hu = np.stack([_hounsfield(slices[z]) for z in found])
    spacing = np.array([(found[-1] - found[0]) / (len(found) - 1), *map(float, slices[found[0]].PixelSpacing)])
    return Volume(_image(hu, spacing), spacing)


def crop(volume: Volume, mask: np.ndarray, start: np.ndarray) -> Crop:
    """Resample a cube around a nodule to 1 mm, linearly; of the mask, what is then at least one half.

    Args:
        volume: the scan.
        mask: (k, i, j) bool on the scan's grid, as large as the nodule's box.
        start: voxel (k, i, j) of the scan where the mask starts.
    """
    centre = (start + (np.array(mask.shape) - 1) / 2) * volume.spacing  # (z, y, x) in mm
    origin = centre - CENTRE
    hu = _resampled(volume.image, origin, AIR)
    border = np.pad(mask, 1).astype(np.float32)  # zeros around it, so that it fades within a voxel
    share = _resampled(_image(border, volume.spacing, (start - 1) * volume.spacing), origin, 0)
    places = (origin[:, None] + np.arange(SIDE)) / volume.spacing[:, None]  # (3, 32) in voxels of the scan
    inside = (places >= -0.5) & (places <= volume.shape[:, None] - 0.5)
    within = inside[0][:, None, None] & inside[1][:, None] & inside[2]
    return Crop(
        hu=np.clip(np.rint(hu), *HU_RANGE).astype(np.int16),
        mask=share >= 0.5,
        padded=float(1 - within.mean()),
    )


def _read(path: Path, **options: Any) -> Dataset:
    try:
        return pydicom.dcmread(path, **options)
    except (InvalidDicomError, OSError, EOFError) as error:
        raise UnusableScanError(f"{path} cannot be read: {' '.join(str(error).split())[:100]}") from error


def _check_slice(header: Dataset, pixel_spacing: float) -> None:
    """Raise UnusableScanError for a slice that does not belong on the annotated grid."""
    name = Path(header.filename).name
    lacking = [tag for tag in ("ImagePositionPatient", "PixelSpacing", "PixelData") if tag not in header]
    if lacking:
        raise UnusableScanError(f"slice {name} has no {', '.join(lacking)}")
    if not np.allclose(header.get("ImageOrientationPatient", AXIAL), AXIAL, atol=1e-3):
        raise UnusableScanError(f"slice {name} is not axial (ImageOrientationPatient {header.ImageOrientationPatient})")
    if not np.allclose(np.array(header.PixelSpacing, dtype=float), pixel_spacing, rtol=0.01):
        raise UnusableScanError(
            f"slice {name} has pixels of {header.PixelSpacing} mm, the annotations {pixel_spacing} mm"
        )


def _check_positions(found: np.ndarray, expected: np.ndarray) -> None:
    """Raise UnusableScanError unless slices are where the annotations expect them, at equal distances."""
    if len(found) < 2:
        raise UnusableScanError("series is incomplete: it has fewer than 2 slices")
    tolerance = POSITION_TOLERANCE * np.median(np.diff(expected))
    distances = np.abs(found[:, None] - expected)
    missing, unknown = expected[distances.min(0) > tolerance], found[distances.min(1) > tolerance]
    if len(missing):
        raise UnusableScanError(
            f"series is incomplete: {len(missing)} of {len(expected)} slices are missing (the first at z = {missing[0]:g} mm)"
        )
    if len(unknown):
        raise UnusableScanError(
            f"{len(unknown)} slices are unknown to the annotations (the first at z = {unknown[0]:g} mm)"
        )
    gaps = np.diff(found)
    if np.ptp(gaps) > 2 * tolerance:
        raise UnusableScanError(f"slice spacing is not uniform: {gaps.min():.3g} to {gaps.max():.3g} mm")


def _hounsfield(header: Dataset) -> np.ndarray:
    """One slice (rows, columns) in HU, int16."""
    try:
        values = header.pixel_array * float(header.get("RescaleSlope", 1)) + float(header.get("RescaleIntercept", 0))
    except (ValueError, AttributeError, NotImplementedError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:100]
        raise UnusableScanError(f"pixels of {Path(header.filename).name} cannot be read: {reason}") from error
    return np.rint(values).astype(np.int16)


def _image(values: np.ndarray, spacing: np.ndarray, origin: np.ndarray | None = None) -> sitk.Image:
    """Array (z, y, x) with spacing and origin (z, y, x) in mm → SimpleITK image."""
    image = sitk.GetImageFromArray(values)
    image.SetSpacing([float(value) for value in spacing[::-1]])
    if origin is not None:
        image.SetOrigin([float(value) for value in origin[::-1]])
    return image


def _resampled(image: sitk.Image, origin: np.ndarray, outside: float) -> np.ndarray:
    """The cube whose first voxel is at `origin` (z, y, x): (32, 32, 32) float32, `outside` beyond the image."""
    cube = sitk.Resample(
        image,
        [SIDE] * 3,
        sitk.Transform(),
        sitk.sitkLinear,
        [float(value) for value in origin[::-1]],
        [1.0] * 3,
        np.eye(3).ravel().tolist(),
        outside,
        sitk.sitkFloat32,
    )
    return sitk.GetArrayFromImage(cube)
