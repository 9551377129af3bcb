"""RISE and Shapley values, literally."""

from functools import cache
from itertools import combinations
from math import comb

import torch
import torch.nn.functional as F


def rise(model, image, target, shown, shifts, baseline=0.0):
    """Mean output over the masks, weighted by how far each shows a pixel, less the plain mean; masks one by one.

    `shown` (n, s, s) are 0 or 1, `shifts` (n, 2) in pixels.
    """
    height, width = image.shape[-2:]
    cells = shown.shape[-1]
    cell = (-(-height // cells), -(-width // cells))
    masks, outputs = [], []
    for grid, (down, right) in zip(shown.double(), shifts.tolist(), strict=True):
        large = F.interpolate(grid[None, None], ((cells + 1) * cell[0], (cells + 1) * cell[1]), mode="bilinear")[0, 0]
        mask = large[down : down + height, right : right + width]
        with torch.no_grad():
            outputs.append(model((image.double() * mask + baseline * (1 - mask))[None])[0, target])
        masks.append(mask)
    masks, outputs = torch.stack(masks), torch.stack(outputs)
    return (outputs[:, None, None] * masks).sum(0) / masks.sum(0) - outputs.mean()


def output_of_coalition(model, image, target, squares, members, baseline=0.0):
    """f of the image whose pixels outside the members' squares are at the baseline; `squares` (H, W) numbers them."""
    kept = torch.zeros_like(squares, dtype=torch.bool)
    for member in members:
        kept |= squares == member
    with torch.no_grad():
        return model(torch.where(kept, image.double(), baseline)[None])[0, target]


def shapley_values(model, image, target, squares, baseline=0.0):
    """By their definition: the mean gain of joining, over the sizes and members of all coalitions of the others."""
    players = range(int(squares.max()) + 1)

    @cache
    def output(members):
        return output_of_coalition(model, image, target, squares, members, baseline)

    values = []
    for player in players:
        others = [other for other in players if other != player]
        value = 0
        for size in range(len(others) + 1):
            for members in combinations(others, size):
                gain = output(tuple(sorted((*members, player)))) - output(members)
                value += gain / comb(len(others), size) / len(players)
        values.append(value)
    return torch.stack(values)
