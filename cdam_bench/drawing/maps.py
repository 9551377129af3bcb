"""How a map is drawn: diverging colours that the colour-blind can tell apart, zero neutral, each map scaled on its own."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.patches import Rectangle

COLOURS: Colormap = colormaps["RdBu_r"]  # cold, white, warm; no red against green
BOX_COLOUR = "#111111"


def scaled(scores: np.ndarray) -> np.ndarray:
    """A map divided by its largest magnitude: values in [−1, 1], zero stays zero; an all-zero map stays as it is."""
    scores = np.asarray(scores, dtype=np.float64)
    largest = np.abs(scores).max()
    return scores / largest if largest > 0 else scores


def colours_of(scores: np.ndarray) -> np.ndarray:
    """Map (H, W), any scale → (H, W, 3) in [0, 1]: evidence warm, counter-evidence cold, zero white."""
    return COLOURS((scaled(scores) + 1) / 2)[..., :3]


def draw_map(axes: Axes, scores: np.ndarray, box: Any = None) -> None:
    """Draw a map without ticks.

    Args:
        axes: where.
        scores: (H, W), any scale.
        box: [top, left, bottom, right) of the target's object in pixels, or None.
    """
    axes.imshow(colours_of(scores), interpolation="nearest")
    _finish(axes, box)


def draw_picture(axes: Axes, pixels: np.ndarray, box: Any = None) -> None:
    """Draw a picture (H, W, 3) in [0, 1] as `draw_map` draws maps."""
    axes.imshow(pixels, interpolation="nearest")
    _finish(axes, box)


def _finish(axes: Axes, box: Any) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, color="#999999", linewidth=0.5)
    if box is None:
        return
    top, left, bottom, right = (float(edge) - 0.5 for edge in box)  # pixel centres are whole numbers
    place = ((left, top), right - left, bottom - top)
    # a light line under the dark one: seen on any colour
    axes.add_patch(Rectangle(*place, fill=False, edgecolor="white", linewidth=2.4))
    axes.add_patch(Rectangle(*place, fill=False, edgecolor=BOX_COLOUR, linewidth=1.0))


def draw_scale(axes: Axes) -> None:
    """A legend of the colours, for a wide and low axes."""
    axes.imshow(colours_of(np.linspace(-1, 1, 257)[None]), aspect="auto", extent=(-1, 1, 0, 1))
    axes.set_yticks([])
    axes.set_xticks([-1, 0, 1], ["counter-evidence\n−max |S|", "0", "evidence\nmax |S|"])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set(visible=True, color="#999999", linewidth=0.5)
