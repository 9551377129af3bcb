"""Write a synthetic CT of a real scan: its slice positions, spacing and contours; nodule of soft tissue in lung."""

from pathlib import Path

import numpy as np
import pydicom
from matplotlib.path import Path as Polygon
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from tests.lidc import database

LUNG, TISSUE = -850, 50  # HU
INTERCEPT = -1024


def scan_of(scan_id):
    """study, series, patient, pixel_spacing, slice positions in mm."""
    ((study, series, patient, spacing),) = database.query(
        "select study_instance_uid, series_instance_uid, patient_id, pixel_spacing from scans where id = ?", scan_id
    )
    positions = sorted(z for (z,) in database.query("select val from zvals where scan_id = ?", scan_id))
    return study, series, patient, spacing, positions


def votes(annotations, z, side):
    """How many annotators have each pixel of a slice inside their contours, which LIDC draws just outside: (side, side)."""
    rows, columns = np.indices((side, side))
    pixels = np.c_[columns.ravel(), rows.ravel()]
    total = np.zeros((side, side), int)
    for annotation in annotations:
        own = np.zeros((side, side), bool)
        for height, inside, points in database.contours(annotation):
            if height == z and inside:
                own |= Polygon(points).contains_points(pixels).reshape(side, side)
                own[points[:, 1], points[:, 0]] = False
        total += own
    return total


def write_series(folder, scan_id, annotations=(), side=512, leave_out=(), series=None):
    """DICOM files of a scan in `folder/patient/study/series`; the nodule is where at least half of `annotations` have it.

    Args:
        side: pixels of a slice; contours need 512.
        leave_out: indices of slices that are not written.
        series: another SeriesInstanceUID.
    """
    study, own_series, patient, spacing, positions = scan_of(scan_id)
    series = series or own_series
    heights = {z for annotation in annotations for z, _, _ in database.contours(annotation)}
    target = Path(folder) / patient / study / series
    target.mkdir(parents=True, exist_ok=True)
    for index, z in enumerate(positions):
        if index in leave_out:
            continue
        hu = np.full((side, side), LUNG)
        if z in heights:
            hu[2 * votes(annotations, z, side) >= len(annotations)] = TISSUE
        _write_slice(target / f"{index:03d}.dcm", hu, z, spacing, study, series, len(positions) - index)
    return target


def _write_slice(path, hu, z, spacing, study, series, number):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    header.SOPClassUID, header.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    header.Modality = "CT"
    header.StudyInstanceUID, header.SeriesInstanceUID = study, series
    header.InstanceNumber = number
    header.ImagePositionPatient, header.ImageOrientationPatient = ["-180", "-180", f"{z:.5f}"], [1, 0, 0, 0, 1, 0]
    header.PixelSpacing = [spacing, spacing]
    header.Rows, header.Columns = hu.shape
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit, header.PixelRepresentation = 15, 0
    header.RescaleSlope, header.RescaleIntercept = 1, INTERCEPT
    header.PixelData = (hu - INTERCEPT).astype("<u2").tobytes()
    pydicom.dcmwrite(path, header, enforce_file_format=True)
