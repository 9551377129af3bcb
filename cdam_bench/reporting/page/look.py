"""How estimators look on the page: the names, colours, dashes and markers of the figures, in the words of SVG."""

from collections.abc import Iterable

from cdam_bench.drawing.families import FAMILIES, OTHERS, by_family, family_of, line_of
from cdam_bench.drawing.names import display_name, in_order
from cdam_bench.reporting.page.plain import Plain

WIDTH = 2  # pixels of a line, whose dashes matplotlib counts in line widths
MARKERS = {  # matplotlib's letter → Vega's name of a shape, or a path in a square from −1 to 1
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
    "X": "M-1,-0.5L-0.5,-1L0,-0.5L0.5,-1L1,-0.5L0.5,0L1,0.5L0.5,1L0,0.5L-0.5,1L-1,0.5L-0.5,0Z",
    "*": "M0,-1L0.25,-0.3L1,-0.3L0.4,0.15L0.6,0.9L0,0.45L-0.6,0.9L-0.4,0.15L-1,-0.3L-0.25,-0.3Z",
}


def looks(estimators: Iterable[str]) -> dict[str, Plain]:
    """Estimator → name, family, colour, dash and marker; what a known one has does not depend on the others."""
    names = in_order(set(estimators))
    return {name: _look(name, names) for name in names}


def _look(name: str, among: list[str]) -> Plain:
    line = line_of(name, among)
    dashes = line["linestyle"]
    return {
        "name": display_name(name),
        "family": family_of(name).name,
        "colour": line["color"],
        "dash": [] if dashes == "solid" else [round(WIDTH * length, 2) for length in dashes[1]],
        "marker": MARKERS.get(line["marker"], "circle"),
    }


def families(estimators: Iterable[str]) -> list[Plain]:
    """The families that are there, with their members."""
    shades = {family.name: family.shades[0] for family in (*FAMILIES, OTHERS)}
    return [
        {"name": name, "colour": shades[name], "estimators": members} for name, members in by_family(estimators).items()
    ]
