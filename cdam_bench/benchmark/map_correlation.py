"""How alike the maps of several methods are: rank correlation patch by patch, image by image."""

from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig

from cdam_bench.benchmark.targets import choose_targets
from cdam_bench.configs import build_backbone, build_dataset, build_preprocessing, choices, compose, instantiate
from cdam_bench.datasets import batches
from cdam_bench.errors import require, require_count, require_text, unknown_name
from cdam_bench.estimators import Estimator
from cdam_bench.metrics.ranking import average_per_patch
from cdam_bench.statistics import Interval, mean_intervals, rank_correlations
from cdam_bench.store.csv_text import csv_text
from cdam_bench.store.files import write_atomically

READINGS = {"signed": lambda maps: maps, "absolute": np.abs}


def named_method(text: str) -> Estimator:
    """A method and its settings in words, as "smooth_cdam noise_level=0.2".

    Raises:
        UserError: for a name that conf/estimator does not have, or a setting the method does not take.
    """
    name, *settings = require_text("estimators", text).split()
    known = choices("estimator")
    if name not in known:
        raise unknown_name("estimator", name, known)
    config = compose([f"estimator={name}", *(f"estimator.{setting}" for setting in settings)])
    return instantiate(config.estimator, "estimator")


def map_correlations(config: DictConfig) -> dict[tuple[str, str, str], Interval]:
    """Spearman's correlation over patches of the maps for each image's first target, for every pair of methods.

    Args:
        config: composed from conf/scripts/measure_maps.yaml.
    Returns:
        (method, method, "signed" or "absolute") → mean over images with its 95 % interval; images with a constant map are left out.
    Raises:
        UserError: for unknown methods or fewer than two.
    """
    require(len(config.estimators) > 1, f"estimators={list(config.estimators)}: name at least two")
    require_count("batch_size", config.batch_size)
    methods = {str(text): named_method(text) for text in config.estimators}
    backbone, preprocessing = build_backbone(config), build_preprocessing(config)
    dataset = build_dataset(config, preprocessing)
    found: dict[str, list[np.ndarray]] = {name: [] for name in methods}
    for _, batch in batches(dataset, config.batch_size, config.seed):
        with torch.no_grad():
            logits = backbone.logits(batch.images.to(backbone.device)).cpu()
        targets, _ = choose_targets(batch, logits, "logit")
        for name, method in methods.items():
            maps = method.attribute(backbone, batch.images, targets[:, 0], batch.seeds)
            patches = average_per_patch(maps, backbone.patch_size)[..., :: backbone.patch_size, :: backbone.patch_size]
            found[name].append(patches.flatten(1).cpu().double().numpy())
    maps_of = {name: np.concatenate(parts) for name, parts in found.items()}
    correlations = {}
    for first, second in combinations(methods, 2):
        for reading, read in READINGS.items():
            per_image = rank_correlations(read(maps_of[first]), read(maps_of[second]))
            (correlations[first, second, reading],) = mean_intervals(per_image[:, None])
    return correlations


def measure_maps(config: DictConfig) -> None:
    """Print how alike the maps are, and write it as CSV.

    Args:
        config: composed from conf/scripts/measure_maps.yaml.
    """
    correlations = map_correlations(config)
    for (first, second, reading), interval in correlations.items():
        print(f"{first} and {second}, {reading}: {interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]")
    heading = ("first", "second", "reading", "spearman", "low", "high", "n")
    rows = ([*names, interval] for names, interval in correlations.items())
    write_atomically(Path(config.output), csv_text(heading, rows).encode())
