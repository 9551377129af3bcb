"""What the outputs are trained towards, and how near they come."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cdam_bench.errors import require
from cdam_bench.lidc.dataset import TASKS
from cdam_bench.lidc.nodule_set import NoduleSet


@dataclass(frozen=True)
class Targets:
    """What the outputs are trained towards.

    Args:
        task: "malignancy" (labels 0 and 1) or "biomarkers" (standardised as the training nodules are).
        values: (N, outputs) float32, of all nodules.
        mean, std: of each output over the training nodules; 0 and 1 for malignancy.
    """

    task: str
    values: Tensor
    mean: list[float]
    std: list[float]

    @classmethod
    def of(cls, nodules: NoduleSet, task: str, train: np.ndarray) -> "Targets":
        """Targets of all nodules, with the statistics of the training rows alone."""
        if task == "malignancy":
            return cls(task, torch.from_numpy(nodules.table.label.to_numpy(np.float32))[:, None], [0.0], [1.0])
        raw = nodules.table[list(TASKS[task])].to_numpy(np.float64)
        mean, std = raw[train].mean(0), raw[train].std(0)
        constant = [name for name, one in zip(TASKS[task], std, strict=True) if one == 0]
        require(
            not constant, f"{', '.join(constant)} are equal in all training nodules: nothing can be learned from them"
        )
        return cls(task, torch.from_numpy(((raw - mean) / std).astype(np.float32)), mean.tolist(), std.tolist())


def measured(outputs: Tensor, targets: Targets, rows: np.ndarray) -> dict[str, Any]:
    """Scores of outputs (n, outputs) on the nodules `rows`.

    Returns:
        malignancy: accuracy, auc. biomarkers: mse (standardised as in training, mean over the biomarkers), r2 (likewise), and
        both for each biomarker under "each".
    """
    from sklearn.metrics import r2_score, roc_auc_score  # slow to load

    truth, said = targets.values[rows].numpy(), outputs.numpy()
    if targets.task == "malignancy":
        hits = (said[:, 0] > 0) == (truth[:, 0] > 0.5)
        return {"accuracy": float(hits.mean()), "auc": float(roc_auc_score(truth[:, 0], said[:, 0]))}
    mse, r2 = ((said - truth) ** 2).mean(0), r2_score(truth, said, multioutput="raw_values")
    each = {name: {"mse": float(a), "r2": float(b)} for name, a, b in zip(TASKS["biomarkers"], mse, r2, strict=True)}
    return {"mse": float(mse.mean()), "r2": float(np.mean(r2)), "each": each}
