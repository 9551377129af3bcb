"""How estimators are called, and in which order they stand: the paper's in the paper's order; others come last, by id."""

from collections.abc import Iterable

PAPERS = {  # in the paper's order
    "cdam": "CDAM",
    "integrated_cdam": "Integrated CDAM",
    "smooth_cdam": "Smooth CDAM",
    "relevance_propagation": "Relevance Propagation",
    "partial_lrp": "Partial LRP",
    "attention_map": "Attention map",
    "smoothgrad": "SmoothGrad",
    "integrated_gradients": "IntGrad",
    "gradcam": "GradCAM",
    "input_x_gradient": "Input × Grad",
}
OTHER_NAMES = {  # of methods that are not the paper's
    "agcam": "AGCAM",
    "attention_rollout": "Attention Rollout",
    "attn_lrp": "AttnLRP",
    "cp_lrp": "CP-LRP",
    "deep_cdam": "Deep CDAM",
    "deep_cdam_integrated": "Integrated Deep CDAM",
    "deep_cdam_smooth": "Smooth Deep CDAM",
    "grad_eclip": "Grad-ECLIP",
    "integrated_gradients_black": "IntGrad (black)",
    "integrated_gradients_blur": "IntGrad (blur)",
    "integrated_gradients_white": "IntGrad (white)",
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


def in_order(estimators: Iterable[str]) -> list[str]:
    """The paper's order, then the others by id."""
    order = list(PAPERS)
    return sorted(estimators, key=lambda name: (order.index(name) if name in PAPERS else len(order), name))


def display_name(estimator: str) -> str:
    """The field's name of an estimator, or its id."""
    return PAPERS.get(estimator) or OTHER_NAMES.get(estimator, estimator)
