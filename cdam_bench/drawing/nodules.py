"""The figure of a nodule: CT slice, attention map and the map of each output, the nodule's outline on all of them."""

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cdam_bench.drawing.maps import draw_map, draw_picture, draw_scale
from cdam_bench.drawing.names import display_name
from cdam_bench.reporting.recompute import Explained

WIDTH = 7.2  # inches
COLUMNS = 5
OUTLINE = "#117733"
PREFERRED = ("cdam", "smooth_cdam", "integrated_cdam")  # whose maps are shown, where the cells have them
CLASS_BLIND = "attention_map"


def nodule_figure(explained: list[Explained], title: str) -> Figure:
    """A block of panels for each image, five in a row.

    Args:
        explained: images with masks and maps.
        title: of the figure.
    """
    shown = shown_estimator(list(explained[0].maps))
    first = explained[0]
    panels = 1 + (CLASS_BLIND in first.maps) + len(first.targets)
    rows = -(-panels // COLUMNS)
    side, gap, heading, top, foot = WIDTH / COLUMNS, 0.04, 0.22, 0.4, 0.8
    block = rows * (side + heading) + 0.12
    height = top + block * len(explained) + foot
    with mpl.rc_context({"axes.grid": False}):
        figure = Figure(figsize=(WIDTH, height))
        for place, image in enumerate(explained):
            for number, (name, values) in enumerate(_panels(image, shown)):
                row, column = divmod(number, COLUMNS)
                bottom = height - top - place * block - (row + 1) * (side + heading)
                box = (column * side + gap) / WIDTH, bottom / height, (side - 2 * gap) / WIDTH, (side - gap) / height
                axes = figure.add_axes(box)
                if values is None:
                    draw_picture(axes, image.pixels)
                else:
                    draw_map(axes, values)
                draw_outline(axes, image.mask)
                axes.set_title(name, fontsize=8.5, pad=2)
        draw_scale(figure.add_axes((0.3, 0.5 / height, 0.4, 0.16 / height)))
        heading_text = f"{title}: {display_name(shown)} of each output"
        figure.text(0.01, 1 - 0.1 / height, heading_text, ha="left", va="top", fontsize=11, fontweight="bold")
    return figure


def shown_estimator(estimators: list[str]) -> str:
    """Whose maps of the outputs are drawn."""
    others = [name for name in estimators if name != CLASS_BLIND]
    return next((name for name in PREFERRED if name in others), (others or estimators)[0])


def _panels(image: Explained, shown: str) -> list[tuple[str, np.ndarray | None]]:
    """Titles and maps; None: the slice itself."""
    panels: list[tuple[str, np.ndarray | None]] = [(image.image_id.rpartition("-")[2], None)]
    if CLASS_BLIND in image.maps:
        panels.append((display_name(CLASS_BLIND), image.maps[CLASS_BLIND][0]))
    for k, (name, value) in enumerate(zip(image.targets, image.logits, strict=True)):
        panels.append((f"{name} ({value:+.1f})".replace("-", "−"), image.maps[shown][k]))
    return panels


def draw_outline(axes: Axes, mask: np.ndarray) -> None:
    """The border of a mask, dark over light so that it is seen on any colour."""
    if mask.any() and not mask.all():
        axes.contour(mask.astype(float), [0.5], colors="white", linewidths=2.0)
        axes.contour(mask.astype(float), [0.5], colors=OUTLINE, linewidths=0.9)
