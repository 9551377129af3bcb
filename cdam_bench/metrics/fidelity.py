"""Fidelity: perturb the most or the least important pixels first and watch the target's logit (MIF, LIF)."""

import torch
from torch import Tensor

from cdam_bench.computing.blur import require_sigma
from cdam_bench.errors import UserError, require_count
from cdam_bench.metrics.base import DELTA_NOTE, Measurement, Metric, Subject, direction
from cdam_bench.metrics.perturbation import (
    ORDERS,
    PAPER_BLUR_SIGMA,
    UNITS,
    area,
    average_per_patch,
    ranked_curves,
    ranks_of,
)
from cdam_bench.store.columns import Better, Column, Curve

LOGIT_PERCENT = "logit · percent"
BY_PATCH = "“By patch”: maps averaged over each patch before ranking."


class Fidelity(Metric):
    """Areas under the MIF and LIF curves, for the right map and, with two targets, for the wrong one.

    Columns, per target: A_MIF (low is good), A_LIF (high is good), A_LIF-MIF; wrong_… the same with pixels ranked by the other
    target's map; delta_A_LIF-MIF = A_LIF-MIF − wrong_A_LIF-MIF (class discrimination; exactly 0 for a class-blind map).
    With unit "patch" the columns end in _patch.

    Args:
        steps: equal steps from 0 to 100 % of the pixels.
        blur_sigma: of the perturbed copy, in pixels; the paper's 14 is for 224².
        unit: "pixel" (the paper), "patch" (the map is averaged over each patch before ranking), or "both".
    Source: Brocki et al. 2024, §3.4.
    """

    def __init__(self, steps: int = 40, blur_sigma: float = PAPER_BLUR_SIGMA, unit: str = "pixel") -> None:
        if unit not in (*UNITS, "both"):
            raise UserError(f"unit={unit} is unknown: use pixel, patch or both")
        self.steps, self.blur_sigma = require_count("steps", steps), require_sigma(blur_sigma)
        self.units = UNITS if unit == "both" else (unit,)

    def columns(self) -> list[Column]:
        return [column for unit in self.units for column in _columns(unit)]

    def curves(self) -> list[Curve]:
        percent = [100 * step / self.steps for step in range(self.steps + 1)]
        axes = {"ranked_by": [], "order": list(ORDERS), "percent": percent, "recorded": []}
        return [
            Curve(
                f"fidelity_{unit}",
                axes,
                x="percent",
                x_label="blurred pixels (%)" if unit == "pixel" else "blurred pixels, patch by patch (%)",
                y_label="target logit",
                title=f"fidelity, ranked by {unit}",
                panels="order",
                panel_titles={"mif": "Most important first (MIF)", "lif": "Least important first (LIF)"},
                gap=True,
            )
            for unit in self.units
        ]

    def measure(self, subject: Subject, maps: Tensor) -> Measurement:
        count = maps.shape[1]
        per_unit = [
            maps if unit == "pixel" else average_per_patch(maps, subject.backbone.patch_size) for unit in self.units
        ]
        ranks = ranks_of(torch.cat(per_unit, 1))  # (B, units · K, H·W): one call shares 0 %, 100 % and equal rankings
        curves = ranked_curves(
            subject.backbone,
            subject.images,
            ranks,
            ORDERS,
            self.steps,
            self.blur_sigma,
            subject.targets,
            subject.batch_size,
        )  # (B, units · K, 2, steps + 1, K)
        scores, named = {}, {}
        for unit, curve in zip(self.units, curves.split(count, 1), strict=True):
            named[f"fidelity_{unit}"] = curve
            scores |= _scores(area(curve.double().movedim(-1, -2)), "" if unit == "pixel" else "_patch")
        return Measurement(scores, named)


def _columns(unit: str) -> list[Column]:
    """Of one unit; by patch they stand after everything by pixel."""
    suffix, words, note = ("", "", "") if unit == "pixel" else ("_patch", " by patch", BY_PATCH)

    def column(
        name: str, label: str, better: Better, table: str, aspect: str = "", more: str = "", place: int = 0
    ) -> Column:
        return Column(
            f"{name}{suffix}",
            f"{label}{words}",
            LOGIT_PERCENT,
            better,
            decimals=1,
            table=table,
            note=f"{more} {note}".strip(),
            place=place + bool(suffix),
            aspect=aspect,
        )

    return [
        column("A_MIF", "A_MIF", "low", "correctness"),
        column("A_LIF", "A_LIF", "high", "correctness"),
        column("A_LIF-MIF", "A_LIF−MIF", "high", "correctness", "faithfulness"),
        column("delta_A_LIF-MIF", "ΔA_LIF−MIF", "high", "class_discrimination", "discrimination", DELTA_NOTE),
        column("wrong_A_LIF-MIF", "A′_LIF−MIF", "", "class_discrimination", place=2),
    ]


def _scores(areas: Tensor, suffix: str) -> dict[str, Tensor]:
    """Areas (B, K ranked by, 2 orders, K recorded) → named columns."""
    scores = {}
    count = areas.shape[1]
    mif, lif = areas.unbind(2)  # each (B, K ranked by, K recorded)
    gap = lif - mif
    for k in range(count):
        prefix = direction(k)
        scores[f"{prefix}A_MIF{suffix}"] = mif[:, k, k]
        scores[f"{prefix}A_LIF{suffix}"] = lif[:, k, k]
        scores[f"{prefix}A_LIF-MIF{suffix}"] = gap[:, k, k]
        if count == 2:
            wrong = 1 - k
            scores[f"{prefix}wrong_A_MIF{suffix}"] = mif[:, wrong, k]
            scores[f"{prefix}wrong_A_LIF{suffix}"] = lif[:, wrong, k]
            scores[f"{prefix}wrong_A_LIF-MIF{suffix}"] = gap[:, wrong, k]
            scores[f"{prefix}delta_A_LIF-MIF{suffix}"] = gap[:, k, k] - gap[:, wrong, k]
    return scores
