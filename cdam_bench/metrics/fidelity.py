"""Fidelity: perturb the most or the least important pixels first and watch the target's logit (MIF, LIF)."""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from cdam_bench.computing.blur import require_sigma
from cdam_bench.errors import UserError, require, require_count
from cdam_bench.metrics.base import Measurement, Metric, Subject, direction
from cdam_bench.metrics.fidelity_columns import Reading
from cdam_bench.metrics.fills import Fill, filled, require_fill
from cdam_bench.metrics.paths import PathReader, paths_of
from cdam_bench.metrics.perturbation import ORDERS, PAPER_BLUR_SIGMA, area, ranked_curves
from cdam_bench.metrics.ranking import UNITS, ranking_map, ranks_of, require_ranking
from cdam_bench.store.columns import Column, Curve


class Fidelity(Metric):
    """Areas under the MIF and LIF curves, for the right map and, with two targets, for the wrong one.

    Columns, per target: A_MIF (low is good), A_LIF (high is good), A_LIF-MIF; wrong_… the same with pixels ranked by the other
    target's map; delta_A_LIF-MIF = A_LIF-MIF − wrong_A_LIF-MIF (class discrimination; exactly 0 for a class-blind map). What is not
    the paper's is said at the end of a column's name, so that several fidelities stand side by side in one cell:
    A_MIF_mean_absolute_tokens_patch. What is left of the logit when everything is replaced is the end of every curve.

    Args:
        steps: equal steps from 0 to 100 % of the pixels.
        blur_sigma: of the blurred copy, in pixels; the paper's 14 is for 224².
        unit: "pixel" (the paper), "patch" (the map is averaged over each patch before ranking), or "both".
        fill: what pixels are replaced by: "blur" (the paper), "mean", "black", "other_image", "noise" or "linear"; see fills.py.
        rank_by: what of a map S is ranked: "signed": S (the paper), "absolute": |S|, "positive": max(S, 0).
        path: by which the perturbation reaches the output: "all" (the paper), "tokens" or "cls", see paths.py; or several of them,
            which share their forward passes. All but "all" need a head that reads [CLS].
        suffix: at the end of every column's name in place of those of fill and rank_by, to tell apart two that are alike in
            these; None: theirs.
    Source: Brocki et al. 2024, §3.4; other fills, rankings and paths are ours.
    """

    def __init__(
        self,
        steps: int = 40,
        blur_sigma: float = PAPER_BLUR_SIGMA,
        unit: str = "pixel",
        fill: str = "blur",
        rank_by: str = "signed",
        path: str | Sequence[str] = "all",
        suffix: str | None = None,
    ) -> None:
        if unit not in (*UNITS, "both"):
            raise UserError(f"unit={unit} is unknown: use pixel, patch or both")
        self.steps, self.blur_sigma = require_count("steps", steps), require_sigma(blur_sigma)
        self.units = UNITS if unit == "both" else (unit,)
        self.fill, self.rank_by, self.paths = require_fill(fill), require_ranking(rank_by), paths_of(path)
        plain = suffix is None or (isinstance(suffix, str) and suffix.isidentifier())
        require(plain, f"suffix={suffix}: must be a word of letters, digits and _, or null")
        self.suffix = suffix

    @property
    def readings(self) -> list[Reading]:
        """What one measurement gives: a path with a unit each, in the order of the arrays' axes."""
        own = (self.fill, self.rank_by, self.suffix)
        return [Reading(*own, path, unit) for path, unit in product(self.paths, self.units)]

    def columns(self) -> list[Column]:
        return [column for reading in self.readings for column in reading.columns()]

    def curves(self) -> list[Curve]:
        percent = [100 * step / self.steps for step in range(self.steps + 1)]
        axes = {"ranked_by": [], "order": list(ORDERS), "percent": percent, "recorded": []}
        return [reading.curve(axes) for reading in self.readings]

    def measure(self, subject: Subject, maps: Tensor) -> Measurement:
        count = maps.shape[1]
        patch_size = subject.backbone.patch_size
        ranked = torch.cat([ranking_map(maps, unit, self.rank_by, patch_size) for unit in self.units], 1)
        curves = ranked_curves(
            subject.backbone,
            subject.images,
            ranks_of(ranked),  # (B, units · K, H·W): one call shares 0 %, 100 % and equal rankings
            ORDERS,
            self.steps,
            self._fill_of(subject),
            subject.targets,
            subject.batch_size,
            None if self.paths == ("all",) else self._reader_of(subject),
        )  # (B, units · K, 2, steps + 1, K), or with a reader (…, paths, K)
        per_path = curves.unbind(-2) if curves.ndim == 6 else [curves]
        scores, named = {}, {}
        parts = [part for one in per_path for part in one.split(count, 1)]  # of each path and unit
        for reading, curve in zip(self.readings, parts, strict=True):
            named[reading.curve_name] = curve
            scores |= _scores(area(curve.double().movedim(-1, -2)), reading.suffix)
        return Measurement(scores, named)

    def _fill_of(self, subject: Subject) -> Fill:
        """What the pixels of a subject's images are replaced by."""
        return filled(self.fill, subject.scene(self.blur_sigma))

    def _reader_of(self, subject: Subject) -> PathReader:
        return PathReader(subject.backbone, subject.images, self.paths, subject.batch_size)


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
