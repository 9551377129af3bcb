"""AdamW whose steps are the smaller, the earlier the layer: for a ViT that has learnt before."""

import re
from functools import partial
from typing import Any

import torch
from torch import nn

from cdam_bench.training.classifier import MakeOptimisers, Recipe


def adamw_with_layer_decay(decay: float) -> MakeOptimisers:
    """AdamW; block b of n steps with decay^(n − b) of the learning rate, the embedding with decay^(n + 1), the head with all of it.

    Biases, norms, scales, tokens and positions are not decayed towards 0.

    Args:
        decay: in (0, 1]; 1: all layers step alike.
    Source: Clark et al. 2020 (ELECTRA), §3; for ViTs Bao et al. 2022 (BEiT).
    """
    return partial(_optimisers, decay=decay)


def _optimisers(model: nn.Module, recipe: Recipe, decay: float) -> list[torch.optim.Optimizer]:
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    last = 1 + max(int(match[1]) + 1 for name, _ in named if (match := re.search(r"\bblocks\.(\d+)\.", name)))
    groups: dict[tuple[int, float], dict[str, Any]] = {}
    for name, parameter in named:
        weight_decay = recipe.weight_decay if parameter.ndim in (2, 4) else 0.0
        depth = _depth(name, last)
        start = {"params": [], "weight_decay": weight_decay, "lr_share": decay ** (last - depth)}
        groups.setdefault((depth, weight_decay), start)["params"].append(parameter)
    return [torch.optim.AdamW(list(groups.values()), lr=recipe.learning_rate, fused=True)]


def _depth(name: str, last: int) -> int:
    """Layer of a ViT's parameter: 0 for the embedding, b + 1 for block b, `last` for what follows the blocks."""
    if match := re.search(r"\bblocks\.(\d+)\.", name):
        return int(match[1]) + 1
    return 0 if re.search(r"\b(patch_embed|cls_token|reg_token|pos_embed|norm_pre)\b", name) else last
