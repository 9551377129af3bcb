"""Families of estimators and how their lines look: a hue and a marker for each family, lightness and dashes for its members.

So lines can be told apart by the colour-blind (within a family lightness differs, between families the marker) and in print.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

MANY = 10  # more methods than these do not share a panel


@dataclass(frozen=True)
class Family:
    """Estimators that work alike.

    Args:
        name: as it stands in figures.
        shades: one hue; any two of them differ in CIE lightness by 7.5 or more, neighbours by 16.5.
        marker: matplotlib's letter.
        members: ids, in order.
    """

    name: str
    shades: tuple[str, ...]
    marker: str
    members: tuple[str, ...] = ()


RED = ("#C31B1F", "#FE6258", "#7C040B", "#E2403A", "#A40210", "#FE8F83")
PURPLE = ("#7D48B7", "#B17DF1", "#551989", "#9763D4", "#6A33A1", "#C59AFE")
BLUE = ("#0464B4", "#4099F4", "#023C70", "#207ED7", "#025194", "#6CB2FF")
BROWN = ("#8D5708", "#D0851F", "#563403", "#AF6D08", "#724608", "#EA9E40")
GREEN = ("#06732D", "#43A959", "#024618", "#228E40", "#065D23", "#5EC271")
TEAL = ("#066E73", "#10A6AD", "#024346", "#14898F", "#06595D", "#3DBFC5")
GREY = ("#656263", "#989596", "#3D3B3B", "#7E7B7C", "#524F50", "#B0ADAE")
MAGENTA = ("#B02A83", "#EC64B8", "#750253", "#CD489D", "#98076F", "#FF84CD")
# solid, dashed, dotted, dash-dot, long, dash-dot-dot
DASHES: tuple[Any, ...] = (
    *("solid", (0, (5, 1.6)), (0, (1.3, 1.3)), (0, (6, 1.6, 1.3, 1.6))),
    *((0, (9, 2)), (0, (6, 1.6, 1.3, 1.6, 1.3, 1.6))),
)

FAMILIES = (
    Family(
        "CDAM",
        RED,
        "o",
        ("cdam", "smooth_cdam", "integrated_cdam", "deep_cdam", "deep_cdam_smooth", "deep_cdam_integrated"),
    ),
    Family("Attention alone", PURPLE, "s", ("attention_map", "attention_rollout")),
    Family(
        "Gradient × attention or tokens",
        BLUE,
        "^",
        ("gradcam", "relevance_propagation", "legrad", "legrad_mean", "agcam", "grad_eclip"),
    ),
    Family(
        "Relevance and conservative gradients",
        BROWN,
        "D",
        ("partial_lrp", "transformer_attribution", "attn_lrp", "cp_lrp", "libragrad"),
    ),
    Family(
        "Gradients of pixels",
        GREEN,
        "v",
        (
            *("input_x_gradient", "integrated_gradients", "smoothgrad"),
            *("integrated_gradients_black", "integrated_gradients_blur", "integrated_gradients_white"),
        ),
    ),
    Family("Perturbation", TEAL, "P", ("token_ablation", "patch_ablation", "occlusion", "rise", "kernel_shap")),
    Family("Floor", GREY, "X", ("random",)),
)
OTHERS = Family("Others", MAGENTA, "*")


def family_of(estimator: str) -> Family:
    """The family that names it, or names what it is a variant of: `cdam_mine` is one of `cdam`, `deep_cdam_8` of `deep_cdam`."""
    relatives = [
        (len(member), family)
        for family in FAMILIES
        for member in family.members
        if f"{estimator}_".startswith(f"{member}_")
    ]
    return max(relatives, key=lambda relative: relative[0])[1] if relatives else OTHERS


def by_family(estimators: Iterable[str]) -> dict[str, list[str]]:
    """Name of every family that is there → its members, the known ones in their order and then the others by id."""
    names = list(estimators)
    found = {}
    for family in (*FAMILIES, OTHERS):
        own = [name for name in names if family_of(name) is family]
        if own:
            found[family.name] = sorted(own, key=lambda name: _place(family, name))
    return found


def line_of(estimator: str, estimators: Iterable[str]) -> dict[str, Any]:
    """Colour, dashes and marker of an estimator's line among `estimators`, as matplotlib's arguments.

    A known one has the same in every figure; 36 lines of a family come before one comes again.
    """
    family = family_of(estimator)
    place = len(family.members)
    if estimator in family.members:
        place = family.members.index(estimator)
    else:
        kin = {name for name in estimators if family_of(name) is family} - set(family.members)
        place += sorted(kin | {estimator}).index(estimator)
    # families begin with different shades and dashes, for prints in grey
    first = FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)
    rounds, step = divmod(place, len(DASHES))
    shade, dashes = (first + step) % len(family.shades), (first + step + rounds) % len(DASHES)
    return {"color": family.shades[shade], "linestyle": DASHES[dashes], "marker": family.marker}


def _place(family: Family, name: str) -> tuple[int, str]:
    """To sort members by."""
    return (family.members.index(name) if name in family.members else len(family.members), name)
