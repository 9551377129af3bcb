"""Who is in which fold: the same on every machine, as it depends on the nodules' names, labels and patients alone."""

from typing import Literal

import numpy as np
import pandas as pd

from cdam_bench.errors import UserError, require

FOLDS = 5
SINGLE_TEST, VALIDATION = 0.15, 0.15  # the paper's 0.7225 / 0.1275 / 0.15
PATIENT_VALIDATION_FOLDS = 7  # one of which, 14 %, is held out
SPLITS = ("paper", "patient")
PARTS = ("train", "validation", "test")
Fold = int | Literal["single"]


def split_nodules(table: pd.DataFrame, split: str = "paper", fold: Fold = 0, seed: int = 0) -> dict[str, np.ndarray]:
    """Rows of the training, validation and test nodules.

    Args:
        table: with the columns nodule, patient and label, in any order.
        split: "paper": nodules are split, so that two of one patient can be on both sides; "patient": all nodules of a patient
            are on the same side. Both keep the classes' shares as equal as they can.
        fold: 0 … 4, which fifth is tested; "single": the paper's other split, 15 % for testing.
        seed: of the shuffling.
    Returns:
        "train", "validation", "test" → row numbers, increasing. Validation is 15 % of what is not tested.
    Raises:
        UserError: for a split or fold that does not exist, or too few nodules.
    Source: Brocki et al. 2024, LIDC-IDRI (five folds stratified by malignancy; 0.7225 / 0.1275 / 0.15).
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, train_test_split  # slow to load

    if split not in SPLITS:
        raise UserError(f"split={split} is unknown: use one of {', '.join(SPLITS)}")
    require(
        fold == "single" or (isinstance(fold, int) and 0 <= fold < FOLDS),
        f"fold={fold}: use 0 … {FOLDS - 1}, or single",
    )
    require(fold != "single" or split == "paper", "fold=single is the paper's: it goes with split=paper")
    # by name, so that the order of the file does not matter
    rows = np.argsort(table.nodule.to_numpy(dtype=np.str_), kind="stable")
    labels, patients = table.label.to_numpy()[rows], table.patient.to_numpy(dtype=np.str_)[rows]
    groups = len(np.unique(patients)) if split == "patient" else np.bincount(labels, minlength=2).min()
    require(groups >= 2 * FOLDS, f"{len(table)} nodules are too few for {FOLDS} folds of both classes")
    if fold == "single":
        rest, test = train_test_split(
            np.arange(len(rows)), test_size=SINGLE_TEST, stratify=labels, shuffle=True, random_state=seed
        )
    elif split == "paper":
        rest, test = list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels))[fold]
    else:
        grouped = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        rest, test = list(grouped.split(labels, labels, patients))[fold]
    rest = np.sort(rest)
    if split == "paper":
        train, validation = train_test_split(
            rest, test_size=VALIDATION, stratify=labels[rest], shuffle=True, random_state=seed
        )
    else:
        grouped = StratifiedGroupKFold(PATIENT_VALIDATION_FOLDS, shuffle=True, random_state=seed)
        chosen, held_out = next(grouped.split(labels[rest], labels[rest], patients[rest]))
        train, validation = rest[chosen], rest[held_out]
    return {part: np.sort(rows[own]) for part, own in zip(PARTS, (train, validation, test), strict=True)}
