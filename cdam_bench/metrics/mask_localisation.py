"""Localisation by masks: does the map point at the pixels of the object? Only where the dataset knows them."""

from typing import Any

import torch
from torch import Tensor

from cdam_bench.metrics.base import Measurement, Metric, Subject, direction
from cdam_bench.metrics.localisation import pointing_game, positive_share
from cdam_bench.store.columns import Column


class MaskLocalisation(Metric):
    """Where the importance for a target lies; no columns for datasets without masks.

    Columns, per target: mask_pointing_game (the map's largest value lies in the mask; pixels of one patch are tied, and any of
    them counts) and mask_positive_share (share of the positive importance inside). Also mask_area, the share of the image that the
    mask covers: the positive share of a uniform map. An image whose mask is empty has NaN everywhere.
    """

    def columns(self) -> list[Column]:
        table: dict[str, Any] = {"table": "mask_localisation", "title": "Localisation by masks"}
        pointing = "Pointing game: the largest value lies in the object's mask; pixels of a patch are tied, and any of them counts."
        return [
            Column(
                "mask_pointing_game",
                "pointing game",
                "share of the images",
                "high",
                note=pointing,
                aspect="localisation",
                **table,
            ),
            Column(
                "mask_positive_share",
                "positive importance in the mask",
                "share",
                "high",
                aspect="localisation",
                **table,
            ),
            Column(
                "mask_area",
                "area of the mask",
                "share of the image",
                note="The area is the positive share of a uniform map.",
                **table,
            ),
        ]

    def measure(self, subject: Subject, maps: Tensor) -> Measurement:
        if subject.masks is None:
            return Measurement({})
        masks = subject.masks.to(maps.device)  # (B, H, W)
        area = masks.flatten(1).double().mean(1)
        scores = {"mask_area": _where_known(area, area)}
        for k, own in enumerate(maps.unbind(1)):
            prefix = direction(k)
            scores[f"{prefix}mask_pointing_game"] = _where_known(pointing_game(own, masks).double(), area)
            scores[f"{prefix}mask_positive_share"] = _where_known(positive_share(own, masks), area)
        return Measurement(scores)


def _where_known(values: Tensor, area: Tensor) -> Tensor:
    """`values` (B,), NaN for images with an empty mask."""
    return torch.where(area > 0, values, torch.nan)
