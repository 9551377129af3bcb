"""The figures that the cells of a results folder allow, at their final size."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from hydra.errors import InstantiationException
from matplotlib.figure import Figure

from cdam_bench.drawing.families import MANY
from cdam_bench.drawing.grids import CLASS_BLIND, Explained, shown_estimator
from cdam_bench.drawing.sizes import INCH, fitted
from cdam_bench.errors import UserError, one_line
from cdam_bench.reporting.chosen import with_estimators
from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.reporting.curves import curves_of, has_gap
from cdam_bench.reporting.paper_figures import captions
from cdam_bench.reporting.paper_figures.catalogue import PaperFigure
from cdam_bench.reporting.paper_figures.curves import curve_figure
from cdam_bench.reporting.paper_figures.maps import (
    NARROW,
    WIDE,
    class_and_concept_maps,
    method_maps,
    output_maps,
)
from cdam_bench.reporting.paper_figures.scatter import ACROSS, AGAINST, scatter

Explain = Callable[[Comparison, int], tuple[list[Explained], list[str]]]
BOXES = "box_r"  # the curve of box sensitivity
HIGHEST = 22.5  # cm: what a page has room for above a caption
OF_OUTPUTS = {"concepts": "4", "quantities": "7"}  # kind of outputs → figure with one method's map of each output
OF_METHODS = {"classes": "3", "labels": "S11"}  # kind of outputs → figure with all methods' maps


@dataclass
class Drawing:
    """How figures are drawn, and what went wrong.

    Args:
        explain: makes the maps of the first images of a comparison again, as `recompute.explain_again`.
        column_cm, page_cm: widths of a figure in a column and across the page.
        num_images: pictures in figures of maps.
        scatter_images: pictures whose tokens stand in the scatter.
        images: names of the pictures in figures of maps; empty: the first ones.
        problems: a line for everything that could not be drawn.
    """

    explain: Explain
    column_cm: float
    page_cm: float
    num_images: int
    scatter_images: int
    images: Sequence[str] = ()
    problems: list[str] = field(default_factory=list)

    def explained(self, comparison: Comparison, num_images: int) -> list[Explained]:
        """Images with their maps; none where the data or the weights are not there."""
        try:
            images, problems = self.explain(comparison, num_images)
        except (UserError, OSError, InstantiationException) as error:
            images, problems = [], [f"no maps of {comparison.title}: {one_line(error)}"]
        self.problems += [problem for problem in problems if problem not in self.problems]
        return images

    def pictures(self, comparison: Comparison, estimators: Sequence[str]) -> list[Explained]:
        """The pictures that figures of maps show, with the maps of these methods."""
        chosen = with_estimators([comparison], estimators)[0]
        if self.images:
            chosen = with_images(chosen, self.images)
        return self.explained(chosen, len(self.images) or self.num_images) if chosen.cells else []

    def sized(self, figure: Figure, is_wide: bool) -> Figure:
        return fitted(figure, self.page_cm if is_wide else self.column_cm)


def figures_of(comparisons: Sequence[Comparison], wanted: Sequence[str], drawing: Drawing) -> Iterator[PaperFigure]:
    """Every figure that is wanted and can be made, comparison by comparison."""
    for comparison in comparisons:
        yield from _curves(comparison, wanted, drawing)
        yield from _scatter(comparison, wanted, drawing)
        yield from _maps(comparison, wanted, drawing)
        yield from _classes_and_concepts(comparison, comparisons, wanted, drawing)


def is_swag(comparison: Comparison) -> bool:
    """Whether the backbone is torchvision's ViT with SWAG's weights."""
    return "swag" in comparison.backbone.lower()


def targets_per_image(comparison: Comparison) -> int:
    """1, or 2 where an image has another target, too; more of them count as 2."""
    return 2 if any("other" in cell.scores for cell in comparison.cells) else 1


def _maps(comparison: Comparison, wanted: Sequence[str], drawing: Drawing) -> Iterator[PaperFigure]:
    """Figures 1, 3, 4, 7, S11, S14."""
    several = OF_METHODS.get(comparison.outputs, "")
    several = "S14" if several == "3" and is_swag(comparison) else several
    single = OF_OUTPUTS.get(comparison.outputs, "")
    single = "1" if comparison.outputs == "classes" and targets_per_image(comparison) == 2 else single
    several, single = (number if number in wanted else "" for number in (several, single))
    if not several and not single:
        return
    names = [cell.key.estimator for cell in comparison.cells]
    needed = names if several else _only(names, (shown_estimator(names), CLASS_BLIND))
    images = drawing.pictures(comparison, needed)
    if not images:
        return
    if single:
        is_wide = len(images[0].targets) + 2 > NARROW
        figure = drawing.sized(output_maps(images, WIDE if is_wide else NARROW), is_wide)
        caption = captions.of_outputs(comparison, images[0])
        yield PaperFigure(single, comparison, figure, is_wide, caption, captions.ids(images))
    if several:
        is_wide = len(images[0].maps) + 1 > NARROW
        figure, shown = _on_a_page(images, is_wide, drawing)
        caption = captions.of_methods(comparison, shown[0])
        yield PaperFigure(several, comparison, figure, is_wide, caption, captions.ids(shown))


def _on_a_page(images: list[Explained], is_wide: bool, drawing: Drawing) -> tuple[Figure, list[Explained]]:
    """All methods' maps of the first images, as many as have room on a page."""
    count = len(images)
    while True:
        figure = drawing.sized(method_maps(images[:count], WIDE if is_wide else NARROW), is_wide)
        height = INCH * figure.get_figheight()
        if height <= HIGHEST or count == 1:
            return figure, images[:count]
        count = max(1, int(count * HIGHEST / height))


def _classes_and_concepts(
    comparison: Comparison, comparisons: Iterable[Comparison], wanted: Sequence[str], drawing: Drawing
) -> Iterator[PaperFigure]:
    """Figure 5, for each set of concepts that was measured on images of this comparison."""
    if "5" not in wanted or comparison.outputs != "classes":
        return
    own = [cell.key.estimator for cell in comparison.cells]
    for other in comparisons:
        common = [cell.key.estimator for cell in other.cells if cell.key.estimator in own]
        shared = set(comparison.images) & set(other.images)
        if other.outputs != "concepts" or other.dataset != comparison.dataset or not common or not shared:
            continue
        pairs = [with_images(one, shared) for one in (comparison, other)]
        found = [drawing.pictures(one, [shown_estimator(common)]) for one in pairs]
        concepts = {image.image_id: image for image in found[1]}
        both = [(image, concepts[image.image_id]) for image in found[0] if image.image_id in concepts]
        if both:
            figure = drawing.sized(class_and_concept_maps(both, WIDE), True)
            caption = captions.of_classes_and_concepts(comparison, both[0][0])
            named = "_".join(part for part in (other.backbone, other.variant) if part)
            suffix = "" if named == f"{comparison.backbone}_concept" else f"_{named}"
            yield PaperFigure("5", comparison, figure, True, caption, captions.ids(found[0]), suffix)


def _scatter(comparison: Comparison, wanted: Sequence[str], drawing: Drawing) -> Iterator[PaperFigure]:
    """Figure S1."""
    names = {cell.key.estimator for cell in comparison.complete_cells}
    if "S1" not in wanted or not {ACROSS, AGAINST} <= names or comparison.outputs != "classes":
        return
    images = drawing.explained(with_estimators([comparison], [ACROSS, AGAINST])[0], drawing.scatter_images)
    if not images or set(images[0].maps) != {ACROSS, AGAINST}:
        return
    caption = captions.of_scatter(comparison, images)
    figure = drawing.sized(scatter(images), True)
    yield PaperFigure("S1", comparison, figure, True, caption, captions.ids(images) if len(images) <= 10 else "")


def _curves(comparison: Comparison, wanted: Sequence[str], drawing: Drawing) -> Iterator[PaperFigure]:
    """Figures S2 to S7."""
    if comparison.outputs == "quantities":
        return
    seen: set[str] = set()
    for curves in curves_of(comparison):
        boxes = curves.curve.name == BOXES
        if not boxes and not has_gap(curves.curve):
            continue
        numbers = ("S5", "S6") if boxes else ("S2", "S3")
        numbers = numbers if len(curves.maps) > 1 else ("S7" if boxes else "S4",)
        for which, number in enumerate(numbers):
            # the first is the paper's; those with another fill or ranking follow it
            suffix = f"_{curves.curve.figure}" if number in seen else ""
            seen.add(number)
            if number in wanted:
                is_wide = len(curves.panels) > 1 or len(curves.values) > MANY
                figure = drawing.sized(curve_figure(curves, which), is_wide)
                caption = captions.of_curves(comparison, curves, which)
                yield PaperFigure(number, comparison, figure, is_wide, caption, "", suffix)


def with_images(comparison: Comparison, images: Iterable[str]) -> Comparison:
    """The same cells with these images alone; cells that have none of them are left out."""
    names = set(images)
    cells = [replace(cell, scores=cell.scores[cell.scores["image"].isin(names)]) for cell in comparison.cells]
    return replace(comparison, cells=[cell for cell in cells if len(cell.scores)])


def _only(names: Iterable[str], some: Iterable[str]) -> list[str]:
    return [name for name in dict.fromkeys(some) if name in set(names)]
