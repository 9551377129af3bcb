"""How well a network names the photographs of CIFAR-10 scenes."""

import torch
from torch import Tensor, nn

from cdam_bench.datasets.cifar10 import CLASS_NAMES, Photographs
from cdam_bench.datasets.cifar10_scenes import QUADRANTS, mosaics, singles
from cdam_bench.datasets.preprocessing import Preprocessing
from cdam_bench.errors import require, require_count
from cdam_bench.training.recipes.scenes import random_backgrounds


@torch.inference_mode()
def cifar10_accuracy(
    model: nn.Module, photographs: Tensor, labels: Tensor, preprocessing: Preprocessing, device: torch.device
) -> dict[str, float]:
    """On photographs, each used once as a single scene.

    Args:
        model: scenes (B, 3, 64, 64) → logits (B, 10).
        photographs: (N, 3, 32, 32) uint8, class by class, the same number of each.
        labels: (N,).
        preprocessing: of the model.
        device: of the model.
    Returns:
        `single`: share of single scenes whose class comes first; `mosaic`: of mosaics of four different classes, the mean share
        of the four that are in the top 4; `apart`: the same share if the four are read as single scenes and their
        probabilities averaged, which tells photographs that are hard from scenes that are hard.
    """
    generator = torch.Generator().manual_seed(99)
    per_class = len(labels) // len(CLASS_NAMES)
    hits = {"single": 0.0, "mosaic": 0.0, "apart": 0.0}
    probabilities = torch.empty(len(labels), len(CLASS_NAMES))
    order = torch.randperm(len(labels), generator=generator)
    for part in order.split(250):
        backgrounds = random_backgrounds(len(part), generator)
        quadrants = torch.randint(QUADRANTS, (len(part),), generator=generator)
        scenes = singles(photographs[part] / 255, quadrants, backgrounds)
        probabilities[part] = model(preprocessing(scenes).to(device)).softmax(1).cpu()
        hits["single"] += (probabilities[part].argmax(1) == labels[part]).sum().item()
    count = len(labels) // QUADRANTS
    classes = torch.stack([torch.randperm(len(CLASS_NAMES), generator=generator)[:QUADRANTS] for _ in range(count)])
    places = classes * per_class + torch.randint(per_class, classes.shape, generator=generator)
    for part in places.split(250):
        scenes = mosaics(photographs[part] / 255)
        logits = model(preprocessing(scenes).to(device)).cpu()
        for name, scores in (("mosaic", logits), ("apart", probabilities[part].mean(1))):
            top = scores.topk(QUADRANTS).indices
            hits[name] += (top[:, :, None] == labels[part][:, None]).any(1).float().mean(1).sum().item()
    return {name: hit / (len(labels) if name == "single" else count) for name, hit in hits.items()}


def accuracy_for_card(
    model: nn.Module, photographs: Tensor, labels: Tensor, preprocessing: Preprocessing, device: torch.device
) -> dict[str, float]:
    accuracy = cifar10_accuracy(model, photographs, labels, preprocessing, device)
    return {
        "one photograph, top 1": round(accuracy["single"], 4),
        "mosaic of four classes, mean share of them in the top 4": round(accuracy["mosaic"], 4),
        "the same four one by one, mean share of them in the top 4": round(accuracy["apart"], 4),
    }


def evenly(part: Photographs, count: int) -> tuple[Tensor, Tensor]:
    """`count` photographs of a part that is sorted by class, the same number of each class, with their labels."""
    every = len(part.labels) // min(require_count("measured_photographs", count), len(part.labels))
    even = len(part.labels) // len(CLASS_NAMES) % every == 0
    require(even, f"measured_photographs={count}: takes other numbers of each class; use 10000, 5000, 2000 or 1000")
    return part.images[::every], part.labels[::every]
