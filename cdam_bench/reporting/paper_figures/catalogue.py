"""Which of the paper's figures there are, what each shows, and what a results folder needs for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from cdam_bench.errors import UserError, unknown_name
from cdam_bench.reporting.comparisons import Comparison


@dataclass(frozen=True)
class Kind:
    """A figure of the paper.

    Args:
        number: as in the paper, "3" or "S2".
        shows: what it shows.
        needs: what has to be in the results folder.
    """

    number: str
    shows: str
    needs: str


TWO, BOTH = "cells of images with two target classes", "finished cells of cdam and attention_map"
KINDS = (
    Kind("1", "one method's maps of the classes of a picture, beside the attention map", TWO),
    Kind("3", "maps of all methods for each class", "cells whose outputs are classes"),
    Kind("4", "maps of concepts", "cells of a concept head (backbone/head=concept)"),
    Kind("5", "maps of classes beside maps of concepts", "cells of classes and of concepts of the same images"),
    Kind("7", "maps of quantities, such as a nodule's biomarkers", "cells of biomarkers (dataset=lidc_biomarkers)"),
    Kind("S1", "CDAM against attention, token by token", BOTH),
    Kind("S2", "perturbation curves, the right class's map", f"finished {TWO} and the metric fidelity"),
    Kind("S3", "perturbation curves, the wrong class's map", f"finished {TWO} and the metric fidelity"),
    Kind(
        "S4", "perturbation curves, one class an image", "finished cells of one class an image and the metric fidelity"
    ),
    Kind("S5", "box sensitivity, the right class's map", f"finished {TWO} and the metric box_sensitivity"),
    Kind("S6", "box sensitivity, the wrong class's map", f"finished {TWO} and the metric box_sensitivity"),
    Kind(
        "S7",
        "box sensitivity, one class an image",
        "finished cells of one class an image and the metric box_sensitivity",
    ),
    Kind("S11", "maps of a label, such as malignancy", "cells of malignancy (dataset=lidc_malignancy)"),
    Kind("S14", "maps of all methods with SWAG", "cells of a SWAG backbone (backbone=swag_vitb16)"),
)
NUMBERS = tuple(kind.number for kind in KINDS)


@dataclass(frozen=True)
class PaperFigure:
    """A figure that was drawn.

    Args:
        number: of the paper's figure.
        comparison: whose cells it shows.
        figure: of its final size.
        is_wide: whether it is as wide as a page, and not as a column.
        caption: for the paper, plain text.
        source: what it was made from, where the caption does not say it; for those who make it again.
        suffix: of its file's name, where one comparison has several.
    """

    number: str
    comparison: Comparison
    figure: Figure
    is_wide: bool
    caption: str
    source: str = ""
    suffix: str = ""

    @property
    def file(self) -> Path:
        """Its path below the output folder."""
        return self.comparison.file_name(f"figure_{self.number}{self.suffix}", "pdf")


def wanted_numbers(given: Sequence[object] | None) -> tuple[str, ...]:
    """Numbers of figures, as in figures=[3,s2]; None: all.

    Raises:
        UserError: for one that is not among those that can be made.
    """
    if given is None:
        return NUMBERS
    if not given:
        raise UserError("figures=[]: name at least one, as [3,S2], or leave it at null for all")
    numbers = [str(one).strip().upper().removeprefix("FIGURE ") for one in given]
    for number in numbers:
        if number not in NUMBERS:
            raise unknown_name("figures", number, NUMBERS)
    return tuple(number for number in NUMBERS if number in numbers)


def left_out(wanted: Sequence[str], made: Sequence[PaperFigure]) -> list[str]:
    """A line for every figure that was wanted and that no cell of the folder is fit for."""
    there = {figure.number for figure in made}
    return [
        f"figure {kind.number} ({kind.shows}): left out, it needs {kind.needs}"
        for kind in KINDS
        if kind.number in wanted and kind.number not in there
    ]
