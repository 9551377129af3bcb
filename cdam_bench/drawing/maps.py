"""How a map, a picture and a scale are drawn: colours that the colour-blind can tell apart, zero neutral.

Every panel becomes pixels first (`Palette.coloured`, `Palette.laid_over`); what is drawn on them is the same in all figures.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.patches import Rectangle

from cdam_bench.drawing.names import display_name

BOX_COLOUR, OUTLINE_COLOUR = "#111111", "#117733"
FRAME = {"visible": True, "color": "#999999", "linewidth": 0.5}
PALENESS = 0.75  # an overlay's picture is paled, so that colours stand out
STRENGTH = 0.85  # of an overlay's colours, where the map is largest
MIDDLE_GREY = 0.5  # the picture under an overlay's scale
STEPS = 257  # of a scale
HATCH = "/////"  # what speaks against a class, where a figure may be printed in grey


@dataclass(frozen=True)
class Palette:
    """Colours of a kind of map.

    Args:
        colours: from the smallest value to the largest.
        low: the smallest value, as a share of the largest magnitude: −1 for signed maps, 0 for maps that are not negative.
        ends: what the two ends of the scale mean.
    """

    colours: Colormap
    low: int
    ends: tuple[str, str]

    def coloured(self, scores: np.ndarray, limit: float | None = None) -> np.ndarray:
        """Map (H, W) → (H, W, 3) in [0, 1].

        Args:
            scores: any scale.
            limit: magnitude at which the colours end; None: the map's largest; 0: a map of zeros.
        """
        share = np.clip(shares(scores, limit), self.low, 1)
        return self.colours((share - self.low) / (1 - self.low))[..., :3]

    def laid_over(self, pixels: np.ndarray, scores: np.ndarray, limit: float | None = None) -> np.ndarray:
        """The colours on the grey picture (H, W, 3), the stronger the larger |S|: where S is zero the picture alone is seen."""
        strength = STRENGTH * np.abs(np.clip(shares(scores, limit), self.low, 1))[..., None] ** 0.5
        grey = 1 - PALENESS * (1 - pixels.mean(-1, keepdims=True))
        return grey * (1 - strength) + self.coloured(scores, limit) * strength


SIGNED = Palette(colormaps["RdBu_r"], -1, ("counter-evidence", "evidence"))  # cold, white, warm; no red against green
UNSIGNED = Palette(colormaps["Purples"], 0, ("", "importance"))  # from white


@dataclass(frozen=True)
class Panel:
    """A picture, or a map in its colours.

    Args:
        pixels: (H, W, 3) in [0, 1].
        box: [top, left, bottom, right) of an object in pixels, or None.
        mask: of an object, (H, W), whose outline is drawn, or None.
        tag: written in the corner.
        hatched: parts to be hatched in white, (H, W), or None: in grey a colour for and one against a class look alike.
    """

    pixels: np.ndarray
    box: Any = None
    mask: np.ndarray | None = None
    tag: str = ""
    hatched: np.ndarray | None = None


@dataclass(frozen=True)
class Bar:
    """A scale: how the colours of some maps are to be read.

    Args:
        pixels: (1, n, 3), from the smallest value to the largest.
        ticks: place, from 0 to 1, and text of each tick.
        heading: the methods whose scale it is; empty where there is one scale alone.
        hatched: from the left end to here, from 0 to 1, it is hatched as panels are.
    """

    pixels: np.ndarray
    ticks: tuple[tuple[float, str], ...]
    heading: str = ""
    hatched: float = 0.0


def shares(scores: np.ndarray, limit: float | None = None) -> np.ndarray:
    """A map divided by `limit`, or by its largest magnitude: zero stays zero; with a limit of 0 all is zero."""
    scores = np.asarray(scores, dtype=np.float64)
    limit = np.abs(scores).max() if limit is None else limit
    return scores / limit if limit > 0 else np.zeros_like(scores)


def limits(maps: Sequence[np.ndarray], scale: str = "map", clip: float | None = None) -> list[float]:
    """|S| at which the colours of each map end; 0 for a map of zeros.

    Args:
        maps: of one kind.
        scale: "map": each map's own; "row": one for all of them.
        clip: quantile of |S| at which the colours end, such as 0.99; None: the largest.
    """
    quantile = 1.0 if clip is None else clip
    ends = [float(np.quantile(np.abs(m), quantile)) for m in maps]
    if scale == "row" and maps:
        ends = [float(np.quantile(np.abs(np.stack(maps)), quantile))] * len(maps)
    # sparse maps: a quantile of 0 would turn every other pixel into an extreme
    return [end if end > 0 else float(np.abs(m).max()) for end, m in zip(ends, maps, strict=True)]


def bar(palette: Palette, heading: str = "", end: str = "max |S|") -> Bar:
    """The scale of maps drawn by `Palette.coloured`.

    Args:
        palette: theirs.
        heading: the methods' names, or empty.
        end: what the colours' end is.
    """
    return Bar(palette.coloured(_gradient(palette), 1.0), _ticks(palette, end), heading)


def overlay_bar(palette: Palette, heading: str = "", end: str = "max |S|") -> Bar:
    """The scale of maps drawn by `Palette.laid_over`, on a picture of an even grey; arguments as of `bar`."""
    gradient = _gradient(palette)
    even = np.full((*gradient.shape, 3), MIDDLE_GREY)
    return Bar(palette.laid_over(even, gradient, 1.0), _ticks(palette, end), heading)


def palette_of(signed: bool) -> Palette:
    """The colours of an estimator's maps."""
    return SIGNED if signed else UNSIGNED


def scales(
    signed: Mapping[str, bool],
    of: Callable[[Palette, str, str], Bar] = bar,
    end: str = "max |S|",
    signed_palette: Palette = SIGNED,
) -> list[Bar]:
    """The scales that a figure needs: one for each kind of map in it, naming its methods where there are two.

    Args:
        signed: estimator → whether its maps can speak against an output.
        of: `bar`, or `overlay_bar`.
        end: what the colours' end is.
        signed_palette: of the signed maps.
    """
    found = []
    for kind, palette in ((True, signed_palette), (False, UNSIGNED)):
        names = [display_name(name) for name, is_signed in signed.items() if is_signed == kind]
        if names:
            found.append(of(palette, ", ".join(names) if len(set(signed.values())) > 1 else "", end))
    return found


def _gradient(palette: Palette) -> np.ndarray:
    return np.linspace(palette.low, 1, STEPS)[None]


def _ticks(palette: Palette, end: str) -> tuple[tuple[float, str], ...]:
    against, in_favour = palette.ends
    lowest = ((0.0, f"−{end}\n{against}"),) if palette.low < 0 else ()
    return (*lowest, (palette.low / (palette.low - 1), "0"), (1.0, f"{end}\n{in_favour}"))


def draw_panel(axes: Axes, panel: Panel) -> None:
    """Draw a panel without ticks; lines on it are dark over light, so that they are seen on any colour."""
    axes.imshow(panel.pixels, interpolation="nearest")
    _plain(axes)
    if panel.hatched is not None and panel.hatched.any():
        hatched = axes.contourf(panel.hatched.astype(float), [0.5, 1.5], colors="none", hatches=[HATCH])
        hatched.set(edgecolor="white", linewidth=0.0)
    if panel.box is not None:
        top, left, bottom, right = (float(edge) - 0.5 for edge in panel.box)  # pixel centres are whole numbers
        place = ((left, top), right - left, bottom - top)
        axes.add_patch(Rectangle(*place, fill=False, edgecolor="white", linewidth=2.4))
        axes.add_patch(Rectangle(*place, fill=False, edgecolor=BOX_COLOUR, linewidth=1.0))
    if panel.mask is not None and panel.mask.any() and not panel.mask.all():
        inside = panel.mask.astype(float)
        axes.contour(inside, [0.5], colors="white", linewidths=2.0)
        axes.contour(inside, [0.5], colors=OUTLINE_COLOUR, linewidths=0.9)
    if panel.tag:
        paper = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.5}
        axes.text(0.03, 0.97, panel.tag, transform=axes.transAxes, va="top", fontsize=9, bbox=paper)


def draw_bar(axes: Axes, shown: Bar) -> None:
    """Draw a scale into a wide and low axes."""
    axes.imshow(shown.pixels, aspect="auto", extent=(0, 1, 0, 1))
    _plain(axes)
    if shown.hatched > 0:
        axes.add_patch(Rectangle((0, 0), shown.hatched, 1, fill=False, edgecolor="white", linewidth=0, hatch=HATCH))
    axes.set_xticks([place for place, _ in shown.ticks], [text for _, text in shown.ticks], fontsize=9)
    axes.tick_params(length=0)


def _plain(axes: Axes) -> None:
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(**FRAME)
