"""How estimators are called and drawn: the paper's names in the paper's order; others keep their id and come last."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Style:
    """Name and line of an estimator; the families differ in dashes as well as in hue, for the colour-blind and for print."""

    name: str
    colour: str
    dashes: str | tuple[int, tuple[float, ...]]


DASHED, DOTTED, MIXED = (0, (5, 1.6)), (0, (1.3, 1.3)), (0, (6, 1.6, 1.3, 1.6))
KNOWN = {
    "cdam": Style("CDAM", "#CC3311", "solid"),
    "integrated_cdam": Style("Integrated CDAM", "#EE9900", "solid"),
    "smooth_cdam": Style("Smooth CDAM", "#882255", "solid"),
    "relevance_propagation": Style("Relevance Propagation", "#0077BB", DASHED),
    "partial_lrp": Style("Partial LRP", "#55B4E9", DASHED),
    "attention_map": Style("Attention map", "#332288", DASHED),
    "smoothgrad": Style("SmoothGrad", "#117733", DOTTED),
    "integrated_gradients": Style("IntGrad", "#44AA77", DOTTED),
    "gradcam": Style("GradCAM", "#555555", MIXED),
    "input_x_gradient": Style("Input × Grad", "#998822", DOTTED),
}
OTHER_NAMES = {  # of methods that are not the paper's
    "agcam": "AGCAM",
    "attention_rollout": "Attention Rollout",
    "attn_lrp": "AttnLRP",
    "cp_lrp": "CP-LRP",
    "deep_cdam": "Deep CDAM",
    "grad_eclip": "Grad-ECLIP",
    "kernel_shap": "KernelSHAP",
    "legrad": "LeGrad",
    "legrad_mean": "LeGrad (mean)",
    "libragrad": "LibraGrad",
    "occlusion": "Occlusion",
    "patch_ablation": "Patch ablation",
    "random": "Random",
    "rise": "RISE",
    "token_ablation": "Token ablation",
    "transformer_attribution": "Transformer Attribution",
}
# of all others, in turn; five and four: twenty lines before one comes again. Source of the colours: Tol, "Colour schemes"
OTHER_COLOURS = ("#000000", "#EE3377", "#009988", "#6699CC", "#997700")
OTHER_DASHES = (MIXED, (0, (3, 1)), (0, (8, 2, 1, 2, 1, 2)), (0, (1, 3)))


def in_order(estimators: Iterable[str]) -> list[str]:
    """The paper's order, then the others by id."""
    order = list(KNOWN)
    return sorted(estimators, key=lambda name: (order.index(name) if name in KNOWN else len(order), name))


def display_name(estimator: str) -> str:
    """The field's name of an estimator, or its id."""
    return KNOWN[estimator].name if estimator in KNOWN else OTHER_NAMES.get(estimator, estimator)


def line_of(estimator: str, estimators: Iterable[str]) -> dict[str, Any]:
    """Colour and dashes of an estimator's line among `estimators`, as matplotlib's arguments."""
    if estimator in KNOWN:
        return {"color": KNOWN[estimator].colour, "linestyle": KNOWN[estimator].dashes}
    place = [name for name in in_order(estimators) if name not in KNOWN].index(estimator)
    return {"color": OTHER_COLOURS[place % len(OTHER_COLOURS)], "linestyle": OTHER_DASHES[place % len(OTHER_DASHES)]}
