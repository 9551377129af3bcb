"""Backbones: frozen ViTs and their heads."""

from cdam_bench.backbones.backbone import Backbone, create_vit, load_backbone
from cdam_bench.backbones.checkpoints import load_weights
from cdam_bench.backbones.heads import ConceptHead, JoinedHeads, LinearHead

__all__ = ["Backbone", "ConceptHead", "JoinedHeads", "LinearHead", "create_vit", "load_backbone", "load_weights"]
