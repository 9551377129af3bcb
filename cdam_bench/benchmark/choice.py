"""By what a packaged network is chosen: how well it reads, and whether it depends on the right object. No map is looked at."""

from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig

from cdam_bench.configs import build_backbone, build_dataset, build_preprocessing
from cdam_bench.datasets import batches
from cdam_bench.errors import require, require_count
from cdam_bench.metrics.object_occlusion import names_right_object, occlusion_drops
from cdam_bench.statistics import Interval, mean_intervals
from cdam_bench.store.csv_text import csv_text
from cdam_bench.store.files import write_atomically

MEASURES = {
    "all_in_top": "all annotated classes among the top outputs",
    "right_object": "the logit drops most when its own object is occluded",
}


def network_scores(config: DictConfig) -> dict[str, Interval]:
    """Measure a network on the scenes of a dataset.

    Args:
        config: with `backbone`, `dataset` and `runtime`, composed from conf/scripts/measure_network.yaml.
    Returns:
        Name of a measure in `MEASURES` → mean and 95 % interval over images, in [0, 1].
    Raises:
        UserError: for a dataset without annotated objects and boxes.
    """
    require_count("batch_size", config.batch_size)
    backbone, preprocessing = build_backbone(config), build_preprocessing(config)
    dataset = build_dataset(config, preprocessing)
    in_top, right = [], []
    for _, batch in batches(dataset, config.batch_size):
        count = batch.targets.shape[1]
        require(
            batch.boxes is not None and count > 1,
            "measure network needs scenes of several annotated objects with boxes: dataset=digits_multi or cifar10_grid",
        )
        assert batch.boxes is not None
        with torch.no_grad():
            top = backbone.logits(batch.images.to(backbone.device)).topk(count).indices.cpu()
        in_top.append((top.sort(1).values == batch.targets.sort(1).values).all(1).float())
        drops = occlusion_drops(backbone, batch.images, batch.targets, batch.boxes).cpu()
        right.append(names_right_object(drops).mean(1))
    values = np.stack([torch.cat(in_top).numpy(), torch.cat(right).numpy()], 1).astype(float)
    return dict(zip(MEASURES, mean_intervals(values), strict=True))


def measure_network(config: DictConfig) -> None:
    """Print both measures and write them as CSV.

    Args:
        config: composed from conf/scripts/measure_network.yaml.
    """
    scores = network_scores(config)
    for name, interval in scores.items():
        shown = ", ".join(f"{100 * value:.1f}" for value in (interval.low, interval.high))
        print(f"{MEASURES[name]}: {100 * interval.mean:.1f} % [{shown}] of {interval.count} images")
    write_atomically(Path(config.output), csv_text(("measure", "mean", "low", "high", "n"), scores.items()).encode())
