"""Localisation: does the map point at the object it explains? Only where the objects' boxes are known."""

from typing import Any

import torch
from torch import Tensor

from cdam_bench.metrics.base import Measurement, Metric, Subject, direction
from cdam_bench.store.columns import Column


def box_masks(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Boxes (..., 4) long, [top, left, bottom, right) → masks (..., H, W)."""
    rows = torch.arange(image_size[0], device=boxes.device)
    columns = torch.arange(image_size[1], device=boxes.device)
    top, left, bottom, right = boxes[..., None].unbind(-2)  # each (..., 1)
    inside_rows = (rows >= top) & (rows < bottom)
    inside_columns = (columns >= left) & (columns < right)
    return inside_rows[..., :, None] & inside_columns[..., None, :]


def pointing_game(maps: Tensor, masks: Tensor) -> Tensor:
    """Whether a map's largest value lies in its mask (ties: any of them): (B, H, W), (B, H, W) bool → (B,) 0 or 1.

    NaN for a constant map, which points nowhere.

    Source: Zhang et al. 2018, "Top-down Neural Attention by Excitation Backprop".
    """
    largest = maps.amax((1, 2), keepdim=True)
    inside = ((maps == largest) & masks).any(2).any(1).float()
    return torch.where((maps == largest).all(2).all(1), torch.nan, inside)


def positive_share(maps: Tensor, masks: Tensor) -> Tensor:
    """Share of a map's positive importance that lies in its mask: (B,) in [0, 1]; NaN for a map without positive values.

    On a mosaic, with the target's quadrant as mask, this is the grid pointing game.

    Source: Böhle et al. 2021, "Convolutional Dynamic Alignment Networks for Interpretable Classifications".
    """
    positive = maps.double().clamp(min=0)
    return (positive * masks).sum((1, 2)) / positive.sum((1, 2))


POINTING = "Pointing game: the largest value lies in the box."


class Localisation(Metric):
    """Where the importance for a target lies; no columns for datasets without boxes.

    Columns, per target: pointing_game and positive_share, for the target's box; with two targets right_box, whether the sum of the
    map is larger in the target's box than in the other's (½ where they are equal). And box_area, the share of the image that the
    target's box covers: what a map without any structure has as positive_share, and a random pixel as pointing_game.
    """

    def columns(self) -> list[Column]:
        share: dict[str, Any] = {"unit": "share of the images", "table": "localisation"}
        inside: dict[str, Any] = {"unit": "share", "table": "localisation"}
        right = (
            "Right object: the map's sum is larger in its class's box than in the other class's; a map that is blind to the class "
            "is right for exactly one of the two classes."
        )
        positive = "Positive importance in the box: on mosaics this is the grid pointing game."
        chance = "A map without structure would have the box's share of the image there."
        # headlines in the order in which they meet those of faithfulness; `place` is the order in the table
        return [
            Column(
                "positive_share",
                "positive importance in the box",
                better="high",
                note=positive,
                place=2,
                aspect="localisation",
                **inside,
            ),
            Column(
                "other_positive_share",
                "positive importance in the box, other class",
                better="high",
                note=positive,
                place=2,
                **inside,
            ),
            Column(
                "pointing_game", "pointing game", better="high", note=POINTING, place=1, aspect="localisation", **share
            ),
            Column("right_box", "right object", better="high", note=right, aspect="localisation", **share),
            Column("other_right_box", "right object, other class", better="high", note=right, **share),
            Column(
                "box_area", "chance (area of the box)", "share of the image", note=chance, table="localisation", place=3
            ),
        ]

    def measure(self, subject: Subject, maps: Tensor) -> Measurement:
        if subject.boxes is None:
            return Measurement({})
        masks = box_masks(subject.boxes.to(maps.device), (maps.shape[-2], maps.shape[-1]))  # (B, K, H, W)
        count = min(maps.shape[1], masks.shape[1])
        scores = {"box_area": masks[:, 0].double().mean((1, 2))}
        for k in range(count):
            prefix, own = direction(k), maps[:, k]
            scores[f"{prefix}pointing_game"] = pointing_game(own, masks[:, k])
            scores[f"{prefix}positive_share"] = positive_share(own, masks[:, k])
            if count == 2:
                sums = (own[:, None].double() * masks).sum((2, 3))  # (B, 2)
                scores[f"{prefix}right_box"] = ((sums[:, k] - sums[:, 1 - k]).sign() + 1) / 2
        return Measurement(scores)
