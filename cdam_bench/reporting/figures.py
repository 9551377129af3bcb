"""Figures: curves and scores of all methods, and their maps of a few images; as PNG and PDF with the same bytes every time."""

from collections.abc import Iterator
from pathlib import Path

from hydra.errors import InstantiationException
from matplotlib.figure import Figure
from omegaconf import DictConfig

from cdam_bench.drawing.grids import map_grid, output_grid
from cdam_bench.drawing.style import METADATA, rendered
from cdam_bench.errors import UserError, one_line
from cdam_bench.reporting.comparisons import Comparison, remove_stale
from cdam_bench.reporting.cost import Speed, cost_captions, cost_figures
from cdam_bench.reporting.curves import Curves, curve_figures, curves_of, has_gap
from cdam_bench.reporting.dots import score_figure
from cdam_bench.reporting.recompute import explain_again
from cdam_bench.store.files import write_atomically

MAPS = (
    "Maps of the first images. Each map is scaled on its own; the outline is the target's object, where it is known; the number "
    "is the target's output."
)


def write_figures(
    comparisons: list[Comparison],
    output_dir: Path,
    num_images: int,
    paths: DictConfig,
    runtime: DictConfig,
    speeds: list[Speed] | None = None,
) -> tuple[list[Path], list[str]]:
    """Write every figure as <dataset>/<backbone>/<figure>.{png,pdf}.

    Args:
        comparisons: from `read_comparisons`; their unfinished cells have no curves.
        output_dir: created if need be; figures of these comparisons that no longer hold are removed.
        num_images: of the grid of maps; 0: no grid.
        paths, runtime: where data and weights are and what computes the maps.
        speeds: from `read_speeds`, for the cost in forward passes.
    Returns:
        The files written, and a line for every grid, or method in it, that could not be drawn.
    """
    written, problems = [], []
    for comparison in comparisons:
        figures = dict(comparison_figures(comparison, speeds or []))
        if num_images > 0:
            drawn, told = _maps(comparison, num_images, paths, runtime)
            figures |= drawn
            problems += told
        for name, figure in figures.items():
            for extension in METADATA:
                path = output_dir / comparison.file_name(name, extension)
                write_atomically(path, rendered(figure, extension))
                written.append(path)
    remove_stale(written, "figures")
    return written, problems


def comparison_figures(comparison: Comparison, speeds: list[Speed]) -> Iterator[tuple[str, Figure]]:
    """Name and figure of all scores, curves and costs; none of quantities: of one output alone they would say little."""
    if comparison.outputs == "quantities":
        return
    if figure := score_figure(comparison):
        yield "scores", figure
    yield from curve_figures(comparison)
    yield from cost_figures(comparison, speeds)


def _maps(
    comparison: Comparison, num_images: int, paths: DictConfig, runtime: DictConfig
) -> tuple[dict[str, Figure], list[str]]:
    """The grid of maps, if there are any, and what could not be drawn."""
    try:
        explained, problems = explain_again(comparison, num_images, paths, runtime)
    except (UserError, OSError, InstantiationException) as error:
        return {}, [f"no maps of {comparison.title}: {one_line(error)}"]
    draw = output_grid if comparison.outputs == "quantities" else map_grid
    return {"maps": draw(explained, comparison.title)} if explained else {}, problems


def captions(comparison: Comparison) -> dict[str, str]:
    """Name of every figure that a comparison may have → what it shows."""
    found = {"maps": MAPS}
    if comparison.outputs == "quantities":
        return found
    found["scores"] = (
        f"Scores: mean over {comparison.counts} images with its 95 % bootstrap interval over images; arrows: the good direction."
    )
    for curves in curves_of(comparison):
        found |= _captions_of(curves)
    return found | cost_captions(comparison)


def _captions_of(curves: Curves) -> dict[str, str]:
    """Of a curve's figures."""
    curve, note = curves.curve, " ".join(curves.note.split())
    title = (curve.title or curve.name).capitalize()
    found = {curve.figure: f"{title}. {note}"}
    if has_gap(curve):
        first, second = curves.panels
        text = f"{title}, by method: the grey area lies between the curves “{first}” and “{second}”. {note}"
        if len(curves.maps) > 1:
            text += f" Broken lines: {curves.maps[1]} (under the solid ones where both are equal)."
        found[f"{curve.figure}_methods"] = text
    return found
