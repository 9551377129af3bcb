"""Maps of a few images in one figure: all estimators for each target, or one estimator for each output."""

from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure

from cdam_bench.drawing.layout import Row, lay_out
from cdam_bench.drawing.maps import Panel, palette_of, scales
from cdam_bench.drawing.names import display_name
from cdam_bench.drawing.style import WIDTH

PER_ROW = 5  # maps beside an image, or panels of an image's outputs
PREFERRED = ("cdam", "smooth_cdam", "integrated_cdam")  # whose maps of the outputs are shown, where there are some
CLASS_BLIND = "attention_map"
VALUES = {"classes": "logit", "labels": "logit", "concepts": "similarity", "quantities": "value"}


@dataclass(frozen=True)
class Explained:
    """One image with its maps.

    Args:
        image_id: its name.
        pixels: (H, W, 3) in [0, 1].
        targets: names of the K outputs explained.
        logits: the outputs' values.
        boxes: of their objects, (K, 4), or None.
        maps: estimator → (K, H, W).
        mask: of the object that all targets are about, (H, W) bool, or None.
        signed: estimator → whether its maps can speak against an output; those not named can.
        outputs: what kind the outputs are: classes, concepts, labels or quantities.
    """

    image_id: str
    pixels: np.ndarray
    targets: list[str]
    logits: list[float]
    boxes: np.ndarray | None
    maps: dict[str, np.ndarray]
    mask: np.ndarray | None = None
    signed: dict[str, bool] = field(default_factory=dict)
    outputs: str = "classes"

    def is_signed(self, estimator: str) -> bool:
        """Whether the estimator's maps can speak against an output."""
        return self.signed.get(estimator, True)

    def value(self, k: int) -> str:
        """What a target's output is, as "logit 3.4"."""
        return f"{VALUES[self.outputs]} {self.logits[k]:.1f}".replace("-", "−")


def map_grid(explained: list[Explained], title: str) -> Figure:
    """A row for every image and target, a column for every estimator, in blocks of five columns.

    Args:
        explained: images with their maps.
        title: of the figure.
    """
    estimators = list(explained[0].maps)
    blocks = [estimators[i : i + PER_ROW] for i in range(0, len(estimators), PER_ROW)]
    rows = []
    for block in blocks:
        headings = ["image and target", *map(display_name, block)]
        for image in explained:
            for k in range(len(image.targets)):
                box = None if image.boxes is None or len(image.boxes) <= k else image.boxes[k]
                panels = [Panel(image.pixels, box, image.mask, f"{image.targets[k]}, {image.value(k)}")]
                panels += [_map_panel(image, name, k, box) for name in block]
                rows.append(Row(panels, headings))
                headings = []
    bars = scales({name: explained[0].is_signed(name) for name in estimators})
    columns = 1 + max(map(len, blocks))
    return lay_out(rows, columns, WIDTH, title, bars)


def output_grid(explained: list[Explained], title: str) -> Figure:
    """A block of panels for each image, five in a row: the image, its attention map, and one estimator's map of each output.

    Args:
        explained: images with their maps; a mask's outline is drawn on all panels.
        title: of the figure.
    """
    shown = shown_estimator(list(explained[0].maps))
    rows = []
    for image in explained:
        panels, headings = [Panel(image.pixels, mask=image.mask)], [image.image_id.rpartition("-")[2]]
        if CLASS_BLIND in image.maps and shown != CLASS_BLIND:
            panels.append(_map_panel(image, CLASS_BLIND, 0))
            headings.append(display_name(CLASS_BLIND))
        panels += [_map_panel(image, shown, k) for k in range(len(image.targets))]
        headings += [f"{image.targets[k]}\n{image.value(k)}" for k in range(len(image.targets))]
        for start in range(0, len(panels), PER_ROW):
            rows.append(Row(panels[start : start + PER_ROW], headings[start : start + PER_ROW]))
    names = [shown, CLASS_BLIND] if CLASS_BLIND in explained[0].maps else [shown]
    bars = scales({name: explained[0].is_signed(name) for name in dict.fromkeys(names)})
    return lay_out(rows, PER_ROW, WIDTH, f"{title}: {display_name(shown)} of each output", bars)


def shown_estimator(estimators: list[str]) -> str:
    """Whose maps of the outputs are drawn."""
    others = [name for name in estimators if name != CLASS_BLIND]
    return next((name for name in PREFERRED if name in others), (others or estimators)[0])


def _map_panel(image: Explained, estimator: str, k: int, box: np.ndarray | None = None) -> Panel:
    pixels = palette_of(image.is_signed(estimator)).coloured(image.maps[estimator][k])
    return Panel(pixels, box, image.mask)
