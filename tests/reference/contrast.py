"""The contrast target, class after class."""

from copy import deepcopy

import torch
from torch import nn


def nearest_classes(logits, target, count):
    """The other classes (count,) in order of how far their logit is from the target's; `logits` (C,)."""
    others = [index for index in range(len(logits)) if index != target]
    return sorted(others, key=lambda index: (abs(float(logits[index] - logits[target])), index))[:count]


def contrast_model(model, target, rivals, gamma):
    """A textbook model with a linear head whose one output is y_c − γ · mean of y_d: one row of weights."""
    other = deepcopy(model)
    other.head = nn.Linear(model.head.in_features, 1).double()
    with torch.no_grad():
        for mine, theirs in ((other.head.weight, model.head.weight), (other.head.bias, model.head.bias)):
            mine[0] = theirs[target] - gamma * sum(theirs[rival] for rival in rivals) / len(rivals)
    return other
