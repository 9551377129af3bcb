"""Columns and curves: what a metric says about its own numbers, kept in cell.yaml, so that tables and figures know no metric.

A metric's class declares them; whoever reads a results folder finds them in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

Axes = dict[str, list[Any]]  # name of an axis → its values, in order
Better = Literal["high", "low", ""]
SHARE_OF_IMAGES = "share of the images"  # unit of what is 1 or 0 of an image, ½ for a tie: its mean is a proportion


@dataclass(frozen=True)
class Column:
    """A score of a metric as it stands in tables and figures.

    Args:
        name: its column in scores.csv, for the first target; those of the others have a prefix (`metrics.base.direction`).
        label: its heading.
        unit: what it is measured in; SHARE_OF_IMAGES says that an image counts yes or no, so that its interval is a proportion's.
        better: "high" or "low" where one of them is good, "" where neither is.
        decimals: digits behind the point.
        table: the table it stands in; tables of several metrics may have the same name.
        title: heading of that table; "": its name. The first column that says one decides.
        note: a sentence for the caption of a table that shows it.
        place: columns of a table are sorted by it, then as the metrics come.
        aspect: what the score is a headline of ("faithfulness", "localisation", …): headlines of different aspects are compared in
            how they order the methods, and stand where there is room for few scores; "": of none.
        paired: whether methods are compared in it by paired tests; None: where `better` is not "".
    """

    name: str
    label: str = ""
    unit: str = ""
    better: Better = ""
    decimals: int = 2
    table: str = "further_scores"
    title: str = ""
    note: str = ""
    place: int = 0
    aspect: str = ""
    paired: bool | None = None

    @property
    def sign(self) -> int:
        """+1 where high is good, −1 where low is, 0 where neither is."""
        return {"high": 1, "low": -1, "": 0}[self.better]

    @property
    def text(self) -> str:
        """What it is called: its label, or else its name."""
        return self.label or self.name

    @property
    def heading(self) -> str:
        return self.text + {"high": " ↑", "low": " ↓", "": ""}[self.better]

    @property
    def is_proportion(self) -> bool:
        """Whether an image counts yes or no in it."""
        return self.unit == SHARE_OF_IMAGES

    @property
    def is_compared(self) -> bool:
        return bool(self.better) if self.paired is None else self.paired


@dataclass(frozen=True)
class Curve:
    """An array of a metric per image, as it stands in curves.npz and is drawn.

    Args:
        name: in curves.npz.
        axes: the array's axes after that of the images: name → values, in order. "ranked_by" (whose map) and "recorded" (whose
            output) are the targets, the first target first; they have no values of their own.
        x: the axis along which it is drawn; "": it is not drawn.
        x_label, y_label: of the figure.
        title: of the figure, after the dataset's and the backbone's name.
        panels: axis with a panel for each value.
        panel_titles: value of that axis → title.
        gap: also a figure with a panel per method, where the gap between two panels' curves is shaded.
        file: name of its figure; "": its own.
    """

    name: str
    axes: Axes = field(default_factory=dict)
    x: str = ""
    x_label: str = ""
    y_label: str = ""
    title: str = ""
    panels: str = ""
    panel_titles: dict[str, str] = field(default_factory=dict)
    gap: bool = False
    file: str = ""

    @property
    def figure(self) -> str:
        """Name of its figure."""
        return self.file or self.name


@dataclass(frozen=True)
class Declared:
    """What the metrics of a cell declare, metric by metric.

    Args:
        columns: name of the metric → its columns.
        curves: name of the metric → its curves.
    """

    columns: dict[str, tuple[Column, ...]]
    curves: dict[str, tuple[Curve, ...]]

    @classmethod
    def of(cls, kept: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> "Declared":
        """From what cell.yaml keeps under `metrics`."""
        columns = {name: tuple(_read(Column, one) for one in own.get("columns", ())) for name, own in kept.items()}
        curves = {name: tuple(_read(Curve, one) for one in own.get("curves", ())) for name, own in kept.items()}
        return cls(columns, curves)


def declaration(columns: Sequence[Column], curves: Sequence[Curve]) -> dict[str, list[dict[str, Any]]]:
    """Columns and curves as plain values for cell.yaml; what is left at its default is left out."""
    return {"columns": [_plain(one) for one in columns], "curves": [_plain(one) for one in curves]}


def _plain(one: Column | Curve) -> dict[str, Any]:
    default = type(one)(one.name)
    return {name: value for name, value in asdict(one).items() if name == "name" or value != getattr(default, name)}


def _read(kind: type[Any], values: Mapping[str, Any]) -> Any:
    """Unknown names are those of a later version: they are left out."""
    known = {one.name for one in fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in known})
