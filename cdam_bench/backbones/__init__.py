"""Backbones: frozen ViTs and their heads; its names are loaded when first used: `cdam_bench.backbones.files` costs nothing."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cdam_bench.backbones.backbone import Backbone
    from cdam_bench.backbones.checkpoints import load_weights
    from cdam_bench.backbones.heads import ConceptHead, JoinedHeads, LinearHead
    from cdam_bench.backbones.hugging_face import from_hugging_face
    from cdam_bench.backbones.loading import create_model, create_vit, load_backbone

__all__ = [
    "Backbone",
    "ConceptHead",
    "JoinedHeads",
    "LinearHead",
    "create_model",
    "create_vit",
    "from_hugging_face",
    "load_backbone",
    "load_weights",
]

HOMES = {
    "from_hugging_face": "hugging_face",
    "load_weights": "checkpoints",
    **dict.fromkeys(("ConceptHead", "JoinedHeads", "LinearHead"), "heads"),
    **dict.fromkeys(("create_model", "create_vit", "load_backbone"), "loading"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{HOMES.get(name, 'backbone')}"), name)
