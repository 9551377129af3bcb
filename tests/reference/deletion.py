"""Deleting one part of an image at a time, with loops; importance maps and images are those of one image."""

import torch
from scipy.stats import spearmanr

from tests.reference.perturbation import order_of_pixels


def logit_without(model, image, pixels, target, replacement):
    """The target's logit with these pixels (row by row) replaced, in double precision."""
    changed = image.double().flatten(1).clone()
    for pixel in pixels:
        changed[:, pixel] = replacement.double().flatten(1)[:, pixel]
    with torch.no_grad():
        return float(model(changed.reshape(image.shape)[None])[0, target])


def grid_pixels(grid, height, width):
    """Pixels of every cell of a grid, in reading order."""
    cells = [[] for _ in range(grid * grid)]
    for row in range(height):
        for column in range(width):
            cells[(row * grid // height) * grid + column * grid // width].append(row * width + column)
    return cells


def single_deletion(model, image, importance, target, grid, replacement):
    """Spearman's correlation of the cells' sums with the drops."""
    clean = logit_without(model, image, [], target, replacement)
    cells = grid_pixels(grid, *importance.shape)
    values = importance.double().flatten()
    sums = [sum(float(values[pixel]) for pixel in cell) for cell in cells]
    drops = [clean - logit_without(model, image, cell, target, replacement) for cell in cells]
    return spearmanr(sums, drops).statistic


def saco(model, image, importance, target, groups, replacement):
    """Algorithm 1 of Wu et al. 2024, with the logit in place of the probability."""
    clean = logit_without(model, image, [], target, replacement)
    order, values = order_of_pixels(importance, "mif"), importance.double().flatten()
    parts = [[] for _ in range(groups)]
    for place, pixel in enumerate(order):
        parts[place * groups // len(order)].append(pixel)
    salience = [sum(float(values[pixel]) for pixel in part) / len(part) for part in parts]
    drops = [clean - logit_without(model, image, part, target, replacement) for part in parts]
    coefficient = total = 0.0
    for i in range(groups - 1):
        for j in range(i + 1, groups):
            difference = salience[i] - salience[j]
            weight = difference if drops[i] >= drops[j] else -difference
            coefficient += weight
            total += abs(weight)
    return coefficient / total
