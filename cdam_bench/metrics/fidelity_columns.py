"""What fidelity's columns and curves are called: the paper's bear the paper's names, all others say what they are."""

from dataclasses import dataclass
from typing import Any

from cdam_bench.metrics.base import DELTA_NOTE
from cdam_bench.store.columns import Better, Column, Curve

LOGIT_PERCENT = "logit · percent"
BY_PATCH = "“By patch”: maps averaged over each patch before ranking."
FILLED = {  # fill → what a column's heading says of it, and what is on the axis
    "blur": ("", "blurred pixels"),
    "mean": ("mean colour", "pixels replaced by the mean colour"),
    "black": ("black", "blackened pixels"),
    "other_image": ("other image", "pixels replaced by another image's"),
    "noise": ("noise", "pixels replaced by noise"),
    "linear": ("imputed", "pixels imputed from those left"),
}
RANKED = {"signed": "", "absolute": "ranked by |S|", "positive": "ranked by max(S, 0)"}
THROUGH = {"all": "", "tokens": "through the tokens", "cls": "through [CLS]"}
PATH_NOTE = (
    "Through the tokens: only what the last block's attention reads is replaced, the [CLS] stream is the clean image's; "
    "through [CLS]: the reverse."
)


@dataclass(frozen=True)
class Reading:
    """One of the curves that a fidelity metric gives: a unit, and a path.

    Args:
        fill, rank_by, own_suffix: of the metric; own_suffix None: those of fill and ranking.
        path, unit: one each.
    """

    fill: str
    rank_by: str
    own_suffix: str | None
    path: str
    unit: str

    @property
    def is_papers(self) -> bool:
        """Whether it is the paper's measure, or that by patch."""
        return (self.fill, self.rank_by, self.own_suffix, self.path) == ("blur", "signed", None, "all")

    @property
    def variant(self) -> str:
        """The end of the names of columns and curves, but for the unit."""
        derived = [name for name, usual in ((self.fill, "blur"), (self.rank_by, "signed")) if name != usual]
        words = derived if self.own_suffix is None else [self.own_suffix]
        return "".join(f"_{word}" for word in (*words, *[self.path] * (self.path != "all")))

    @property
    def suffix(self) -> str:
        """The end of a column's name."""
        return f"{self.variant}{'_patch' * (self.unit == 'patch')}"

    @property
    def curve_name(self) -> str:
        return f"fidelity{self.variant}_{self.unit}"

    @property
    def words(self) -> str:
        """What the measure's settings are called, where they are not the paper's."""
        parts = (FILLED[self.fill][0], RANKED[self.rank_by], self.own_suffix, THROUGH[self.path])
        return ", ".join(part for part in parts if part)

    @property
    def table(self) -> str:
        """Beginning of the names of the tables of what is not the paper's."""
        return "paths" if self.path != "all" else "fills"

    def columns(self) -> list[Column]:
        """The columns of the first target; by patch they stand after everything by pixel."""
        if self.is_papers:
            return self._papers_columns()
        title = "through the last block" if self.path != "all" else "with other fills and rankings"
        note = PATH_NOTE if self.path != "all" else ""
        areas, classes = f"{self.table}_areas", f"{self.table}_class_discrimination"
        return [
            self._column("A_LIF-MIF", "A_LIF−MIF", "high", self.table, note=note, title=f"Fidelity {title}"),
            self._column("A_MIF", "A_MIF", "low", areas, note=note, title=f"Areas {title}", paired=False),
            self._column("A_LIF", "A_LIF", "high", areas, note=note, paired=False),
            self._column(
                "delta_A_LIF-MIF",
                "ΔA_LIF−MIF",
                "high",
                classes,
                note=f"{DELTA_NOTE} {note}".strip(),
                title=f"Class discrimination {title}",
            ),
        ]

    def _papers_columns(self) -> list[Column]:
        return [
            self._column("A_MIF", "A_MIF", "low", "correctness"),
            self._column("A_LIF", "A_LIF", "high", "correctness"),
            self._column("A_LIF-MIF", "A_LIF−MIF", "high", "correctness", "faithfulness"),
            self._column(
                "delta_A_LIF-MIF", "ΔA_LIF−MIF", "high", "class_discrimination", "discrimination", note=DELTA_NOTE
            ),
            self._column("wrong_A_LIF-MIF", "A′_LIF−MIF", "", "class_discrimination", place=2),
        ]

    def _column(
        self,
        name: str,
        label: str,
        better: Better,
        table: str,
        aspect: str = "",
        note: str = "",
        place: int = 0,
        title: str = "",
        paired: bool | None = None,
    ) -> Column:
        by_patch = self.unit == "patch"
        return Column(
            f"{name}{self.suffix}",
            f"{label}{' by patch' * by_patch}{f' ({self.words})' if self.words else ''}",
            LOGIT_PERCENT,
            better,
            decimals=1,
            table=table,
            title=title,
            note=f"{note} {BY_PATCH if by_patch else ''}".strip(),
            place=place + by_patch,
            aspect=aspect,
            paired=paired,
        )

    def curve(self, axes: dict[str, list[Any]]) -> Curve:
        """How the curve is drawn; `axes` are those of the stored array."""
        replaced = FILLED[self.fill][1]
        return Curve(
            self.curve_name,
            axes,
            x="percent",
            x_label=f"{replaced} (%)" if self.unit == "pixel" else f"{replaced}, patch by patch (%)",
            y_label="target logit",
            title=f"fidelity, ranked by {self.unit}{f' ({self.words})' if self.words else ''}",
            panels="order",
            panel_titles={"mif": "Most important first (MIF)", "lif": "Least important first (LIF)"},
            gap=True,
        )
