"""Captions of the paper's figures: what is shown of what, of how many images, and how it is to be read."""

from collections.abc import Iterable, Sequence

from cdam_bench.drawing.grids import CLASS_BLIND, Explained, shown_estimator
from cdam_bench.drawing.names import display_name
from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.reporting.curves import Curves
from cdam_bench.reporting.formats import format_interval
from cdam_bench.reporting.paper_figures.maps import HATCHED_FROM
from cdam_bench.reporting.paper_figures.scatter import AGAINST, correlation

EACH = "Each map is scaled on its own: zero is white"
AGAINST_IT = (
    f"evidence against it is blue and, from {HATCHED_FROM:.0%} of the map’s largest magnitude on, hatched".replace(
        "%", " %"
    )
)


def place(comparison: Comparison) -> str:
    """Of what the cells are."""
    variant = f" ({comparison.distinction})" if comparison.distinction else ""
    return f"{comparison.dataset}, backbone {comparison.backbone}{variant}"


def ids(images: Sequence[Explained]) -> str:
    """Which pictures are shown."""
    return f"images {', '.join(image.image_id for image in images)}"


def _colours(image: Explained, names: Iterable[str], output: str) -> str:
    """What the colours of some methods' maps mean."""
    kinds = {image.is_signed(name) for name in names if name in image.maps}
    parts = [f"evidence for the {output} is red, {AGAINST_IT}"] if True in kinds else []
    parts += ["importance without a sign is purple"] if False in kinds else []
    return f"{EACH}; {'; '.join(parts)}."


def of_outputs(comparison: Comparison, image: Explained) -> str:
    """Of one method's maps of each output."""
    name = shown_estimator(list(image.maps))
    beside = (
        f", beside the {display_name(CLASS_BLIND).lower()}" if CLASS_BLIND in image.maps and name != CLASS_BLIND else ""
    )
    outputs = {"classes": "class", "concepts": "concept", "quantities": "quantity"}[comparison.outputs]
    what = f"{display_name(name)} of each {outputs}{beside}, {place(comparison)}."
    return f"{what} {_colours(image, (name, CLASS_BLIND), outputs)}"


def of_methods(comparison: Comparison, image: Explained) -> str:
    """Of all methods' maps."""
    output = {"classes": "class", "labels": "label"}[comparison.outputs]
    outline = " The outline is the target’s object." if image.boxes is not None or image.mask is not None else ""
    what = f"Maps of {len(image.maps)} methods, a row for every picture and {output}, {place(comparison)}."
    return f"{what}{outline} {_colours(image, image.maps, output)}"


def of_classes_and_concepts(comparison: Comparison, image: Explained) -> str:
    """Of one method's maps of both."""
    name = shown_estimator(list(image.maps))
    what = f"{display_name(name)} of classes and of concepts for the same pictures, {place(comparison)}."
    return f"{what} {_colours(image, (name,), 'output')}"


def of_scatter(comparison: Comparison, images: Sequence[Explained]) -> str:
    """Of CDAM against attention."""
    name = display_name(AGAINST)
    return (
        f"{name} against attention, a point per token of {len(images)} images, {place(comparison)}; hollow: evidence against the "
        f"class. Pearson’s r between attention and the magnitude of {name} within an image, mean and 95 % bootstrap interval over "
        f"images: {format_interval(correlation(images, 0), 2)}."
    )


def of_curves(comparison: Comparison, curves: Curves, which: int) -> str:
    """Of curves with one of the two maps."""
    title = (curves.curve.title or curves.curve.name).capitalize()
    whose = f", with {curves.maps[which]}" if len(curves.maps) > 1 else ""
    return f"{title}{whose}, {place(comparison)}. {curves.note}"
