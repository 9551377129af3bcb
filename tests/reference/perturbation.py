"""The benchmarks with Python loops, scipy and numpy; importance maps and images are those of one image."""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import pearsonr


def blur(image, sigma):
    """Gaussian blur of an image (3, H, W), channel by channel."""
    channels = [gaussian_filter(channel, sigma, mode="mirror", truncate=3) for channel in image.double().numpy()]
    return torch.from_numpy(np.stack(channels))


def order_of_pixels(importance, order):
    """Pixels' indices (row by row) in the order they are perturbed; equal ones by index, LIF the reverse of MIF."""
    values = importance.flatten().tolist()
    most_important_first = sorted(range(len(values)), key=lambda pixel: (-values[pixel], pixel))
    return most_important_first if order == "mif" else most_important_first[::-1]


def perturbation_curve(model, image, importance, order, steps, sigma, replacement=None):
    """(steps + 1, C) outputs; pixels take the values of `replacement` (3, H, W), or of the blurred image."""
    images = perturbed_images(
        image, importance, order, steps, blur(image, sigma) if replacement is None else replacement
    )
    with torch.no_grad():
        return torch.stack([model(perturbed[None])[0] for perturbed in images])


def perturbed_images(image, importance, order, steps, replacement):
    """The images (3, H, W) of every step, in double precision."""
    pixels = order_of_pixels(importance, order)
    images = []
    for step in range(steps + 1):
        perturbed = image.double().flatten(1).clone()
        for pixel in pixels[: round(step * len(pixels) / steps)]:
            perturbed[:, pixel] = replacement.double().flatten(1)[:, pixel]
        images.append(perturbed.reshape(image.shape))
    return images


def curve_area(curve):
    """Area under a curve (steps + 1,) over percent."""
    return np.trapezoid(np.asarray(curve), x=np.linspace(0, 100, len(curve)))


def box_drop(model, image, box, target, sigma):
    """f_c(image) − f_c(image with the box blurred)."""
    top, left, bottom, right = (int(edge) for edge in box)
    perturbed, blurred = image.double().clone(), blur(image, sigma)
    for row in range(top, bottom):
        for column in range(left, right):
            perturbed[:, row, column] = blurred[:, row, column]
    with torch.no_grad():
        return (model(image[None].double()) - model(perturbed[None]))[0, target]


def box_sum(importance, box):
    """Importance inside a box."""
    top, left, bottom, right = (int(edge) for edge in box)
    return sum(float(importance[row, column]) for row in range(top, bottom) for column in range(left, right))


def box_correlation(importance, boxes, drops):
    """Pearson's r over boxes (M, 4) and the drops (M,)."""
    return pearsonr([box_sum(importance, box) for box in boxes], [float(drop) for drop in drops]).statistic


def compactness(importance, threshold):
    """Share of pixels not larger than `threshold` times the largest magnitude."""
    values = importance.flatten().tolist()
    largest = max(abs(value) for value in values)
    return sum(abs(value) <= threshold * largest for value in values) / len(values)
