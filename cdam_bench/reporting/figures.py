"""Figures: fidelity and box-sensitivity curves with bands, and a grid of maps; as PNG and PDF with the same bytes every time."""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from hydra.errors import InstantiationException
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from omegaconf import DictConfig

from cdam_bench.drawing.maps import draw_map, draw_picture, draw_scale
from cdam_bench.drawing.names import display_name, line_of
from cdam_bench.drawing.nodules import nodule_figure
from cdam_bench.errors import UserError
from cdam_bench.reporting.comparisons import Comparison, remove_stale
from cdam_bench.reporting.recompute import Explained, explain_again
from cdam_bench.statistics import mean_intervals
from cdam_bench.store.files import write_atomically

WIDTH = 7.2  # inches: a page's text width
DPI = 150
STYLE = {
    "font.size": 10,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "pdf.fonttype": 42,
}
# without dates and versions: the same scores give the same bytes
METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
MAPS_PER_ROW = 5
FIGURES = (
    "fidelity_pixel",
    "fidelity_patch",
    "fidelity_pixel_methods",
    "fidelity_patch_methods",
    "box_sensitivity",
    "maps",
)
Curve = tuple[np.ndarray, np.ndarray, np.ndarray]  # mean, low, high along the axis


def write_figures(
    comparisons: list[Comparison], output_dir: Path, num_images: int, paths: DictConfig, runtime: DictConfig
) -> tuple[list[Path], list[str]]:
    """Write every figure as <dataset>/<backbone>/<figure>.{png,pdf}.

    Args:
        comparisons: from `read_comparisons`; their unfinished cells have no curves and are left out.
        output_dir: created if need be; figures of these comparisons that no longer hold are removed.
        num_images: of the grid of maps; 0: no grid.
        paths, runtime: where data and weights are and what computes the maps.
    Returns:
        The files written, and a line for every grid that could not be made.
    """
    written, problems = [], []
    for comparison in comparisons:
        figures = {} if comparison.outputs else dict(curve_figures(comparison))  # curves of one output would say little
        if num_images > 0:
            try:
                explained = explain_again(comparison, num_images, paths, runtime)
                draw = map_grid if explained[0].mask is None else nodule_figure
                figures["maps"] = draw(explained, comparison.title)
            except (UserError, OSError, InstantiationException) as error:
                problems.append(f"no maps of {comparison.title}: {' '.join(str(error).split())}")
        for name, figure in figures.items():
            for extension, metadata in METADATA.items():
                path = output_dir / comparison.file_name(name, extension)
                write_atomically(path, rendered(figure, extension, metadata))
                written.append(path)
    remove_stale(output_dir, written, FIGURES, METADATA)
    return written, problems


def rendered(figure: Figure, extension: str, metadata: dict[str, Any]) -> bytes:
    """A figure as the bytes of a file."""
    buffer = io.BytesIO()
    with _style():
        figure.savefig(buffer, format=extension, dpi=DPI, metadata=metadata)
    return buffer.getvalue()


@contextmanager
def _style() -> Iterator[None]:
    with mpl.rc_context():
        mpl.rcdefaults()  # a user's own matplotlibrc must not change the files
        mpl.rcParams.update(STYLE)
        yield


def curve_figures(comparison: Comparison) -> Iterator[tuple[str, Figure]]:
    """Name and figure of every kind of curve that the finished cells have."""
    stored = {cell.key.estimator: cell.curves() for cell in comparison.complete_cells}
    names = {name for curves, _ in stored.values() for name in curves}
    for unit in ("pixel", "patch"):
        name = f"fidelity_{unit}"
        if name in names:
            curves = {estimator: arrays[name] for estimator, (arrays, _) in stored.items()}
            percent = next(axes[name]["percent"] for _, axes in stored.values())
            yield name, fidelity_figure(curves, percent, unit, comparison.title)
            yield f"{name}_methods", methods_figure(curves, percent, unit, comparison.title)
    if "box_r" in names:
        curves = {estimator: arrays["box_r"] for estimator, (arrays, _) in stored.items()}
        sizes = next(axes["box_r"]["size"] for _, axes in stored.values())
        yield "box_sensitivity", box_figure(curves, sizes, comparison.title)


def _band(values: np.ndarray) -> Curve:
    """Mean and 95 % band of curves (images, points); NaN are left out."""
    intervals = mean_intervals(values)
    return tuple(np.array([getattr(interval, end) for interval in intervals]) for end in ("mean", "low", "high"))


def _draw(axes: Axes, x: list[float], curve: Curve, label: str | None = None, **line: Any) -> None:
    mean, low, high = curve
    axes.fill_between(x, low, high, color=line["color"], alpha=0.1, linewidth=0)
    axes.plot(x, mean, label=label, **line)


def _legend_below(figure: Figure, axes: Axes, columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=10,
        handlelength=2.6,
        columnspacing=1.6,
    )


def fidelity_figure(curves: dict[str, np.ndarray], percent: list[float], unit: str, title: str) -> Figure:
    """Target logit while the most (left) and the least (right) important pixels are blurred first, all estimators.

    Args:
        curves: estimator → (images, ranked by, [mif, lif], percent, recorded).
        percent: the x axis.
        unit: "pixel" or "patch".
        title: of the figure.
    """
    targets = next(iter(curves.values())).shape[1]
    rows = 2 if targets == 2 else 1
    with _style():
        figure = Figure(figsize=(WIDTH, 1.35 + 2.75 * rows), layout="constrained")
        panels = figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False)
        for row, ranked_by in enumerate(("the target’s own map", "the other class’s map")[:rows]):
            for order, name in enumerate(("Most important first (MIF)", "Least important first (LIF)")):
                axes = panels[row, order]
                for estimator, values in curves.items():
                    band = _band(values[:, row, order, :, 0])
                    _draw(axes, percent, band, display_name(estimator), **line_of(estimator, curves))
                axes.set_title(f"{name}\nranked by {ranked_by}" if rows == 2 else name, loc="left")
                axes.set_xlim(0, 100)
            panels[row, 0].set_ylabel("target logit")
        for axes in panels[-1]:
            axes.set_xlabel(f"{_perturbed(unit)} (%)")
        figure.suptitle(f"{title}: fidelity, ranked by {unit}", x=0.01, ha="left", fontsize=11, fontweight="bold")
        _legend_below(figure, panels[0, 0], 3)
    return figure


def methods_figure(curves: dict[str, np.ndarray], percent: list[float], unit: str, title: str) -> Figure:
    """One panel per estimator with both orders; the shaded gap between them is A_LIF−MIF, broken lines are the wrong map's.

    Args: as for `fidelity_figure`.
    """
    two = next(iter(curves.values())).shape[1] == 2
    columns = min(2, len(curves))
    rows = math.ceil(len(curves) / columns)
    with _style():
        figure = Figure(figsize=(WIDTH, 1.4 + 1.7 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, (estimator, values) in zip(panels.flat, curves.items(), strict=False):
            for order, (name, colour) in enumerate((("MIF", "#B2182B"), ("LIF", "#2166AC"))):
                own = _band(values[:, 0, order, :, 0])
                _draw(axes, percent, own, f"{name}, the target’s map", color=colour, linestyle="solid")
                if two:
                    wrong = values[:, 1, order, :, 0].mean(0)
                    label = f"{name}, the other class’s map"
                    axes.plot(percent, wrong, label=label, color=colour, linestyle=(0, (2, 1.2)), linewidth=1.3)
            means = values[:, 0, :, :, 0].mean(0)
            axes.fill_between(percent, means[0], means[1], color="#999999", alpha=0.18, linewidth=0)
            axes.set_title(display_name(estimator), loc="left", fontsize=10.5)
            axes.set_xlim(0, 100)
        for axes in panels[:, 0]:
            axes.set_ylabel("target logit")
        for column in range(columns):
            lowest = max(row for row in range(rows) if row * columns + column < len(curves))
            panels[lowest, column].tick_params(labelbottom=True)
            panels[lowest, column].set_xlabel(f"{_perturbed(unit)} (%)")
        for axes in panels.flat[len(curves) :]:
            axes.set_visible(False)
        figure.suptitle(f"{title}: fidelity, ranked by {unit}", x=0.01, ha="left", fontsize=11, fontweight="bold")
        _legend_below(figure, panels[0, 0], 2)
    return figure


def _perturbed(unit: str) -> str:
    return "blurred pixels" if unit == "pixel" else "blurred pixels, patch by patch"


def box_figure(curves: dict[str, np.ndarray], sizes: list[float], title: str) -> Figure:
    """Correlation of the importance in a box with the drop of the logit, over the box's side.

    Args:
        curves: estimator → (images, ranked by, sizes, recorded).
        sizes: the x axis, in percent of the image's side.
        title: of the figure.
    """
    targets = next(iter(curves.values())).shape[1]
    columns = 2 if targets == 2 else 1
    with _style():
        figure = Figure(figsize=(WIDTH if columns == 2 else 0.75 * WIDTH, 4.4), layout="constrained")
        panels = figure.subplots(1, columns, sharey=True, squeeze=False)[0]
        for axes, map_of, name in zip(panels, (0, 1), ("The target’s own map", "The other class’s map"), strict=False):
            axes.axhline(0, color="#888888", linewidth=0.8)
            for estimator, values in curves.items():
                _draw(
                    axes, sizes, _band(values[:, map_of, :, 0]), display_name(estimator), **line_of(estimator, curves)
                )
            if columns == 2:
                axes.set_title(name, loc="left")
            axes.set_xlim(min(sizes), max(sizes))
            axes.set_xlabel("side of the box (% of the image)")
        panels[0].set_ylabel("correlation r, mean over images")
        figure.suptitle(f"{title}: box sensitivity", x=0.01, ha="left", fontsize=11, fontweight="bold")
        _legend_below(figure, panels[0], 3 if columns == 2 else 2)
    return figure


def map_grid(explained: list[Explained], title: str) -> Figure:
    """Maps of a few images: a row for every image and target, a column for every estimator, in blocks of five columns.

    Args:
        explained: images with their maps.
        title: of the figure.
    """
    estimators = list(explained[0].maps)
    blocks = [estimators[i : i + MAPS_PER_ROW] for i in range(0, len(estimators), MAPS_PER_ROW)]
    lines = [(image, k) for image in explained for k in range(len(image.targets))]
    columns = 1 + max(map(len, blocks))
    side, heading, foot = WIDTH / (columns + 0.02), 0.42, 0.78
    block_height = heading + side * len(lines)
    height = 0.35 + block_height * len(blocks) + foot
    with _style():
        mpl.rcParams["axes.grid"] = False
        figure = Figure(figsize=(WIDTH, height))
        for b, block in enumerate(blocks):
            top = height - 0.35 - b * block_height
            for row, (image, k) in enumerate(lines):
                box = None if image.boxes is None or len(image.boxes) <= k else image.boxes[k]
                for column, estimator in enumerate((None, *block)):
                    gap = 0.03
                    axes = figure.add_axes(
                        (
                            (column * side + gap) / WIDTH,
                            (top - heading - (row + 1) * side + gap) / height,
                            (side - 2 * gap) / WIDTH,
                            (side - 2 * gap) / height,
                        )
                    )
                    if estimator is None:
                        draw_picture(axes, image.pixels, box)
                        _name_target(axes, image.targets[k], image.logits[k])
                    else:
                        draw_map(axes, image.maps[estimator][k], box)
                    if row == 0:
                        name = "image and\ntarget" if estimator is None else _in_two_lines(display_name(estimator))
                        axes.set_title(name, fontsize=10, pad=3)
        draw_scale(figure.add_axes((0.3, 0.5 / height, 0.4, 0.16 / height)))
        figure.text(0.01, 1 - 0.1 / height, title, ha="left", va="top", fontsize=11, fontweight="bold")
    return figure


def _name_target(axes: Axes, name: str, logit: float) -> None:
    label = f"{name} ({logit:.1f})".replace("-", "−")
    axes.text(
        0.03,
        0.97,
        label,
        transform=axes.transAxes,
        va="top",
        fontsize=9,
        bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.5},
    )


def _in_two_lines(name: str) -> str:
    """Break a name at the space nearest its middle, if it is long."""
    spaces = [i for i, sign in enumerate(name) if sign == " "]
    if len(name) <= 11 or not spaces:
        return name
    middle = min(spaces, key=lambda i: abs(i - len(name) / 2))
    return f"{name[:middle]}\n{name[middle + 1 :]}"
