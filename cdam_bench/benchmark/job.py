"""A job: the objects that a cell is made with, and what they do to a chunk of images."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.backbones.contrast import Contrast
from cdam_bench.benchmark.shared import SharedResults
from cdam_bench.benchmark.targets import (
    COMPETING,
    TARGET_ORDERS,
    boxes_of,
    check_contrast,
    choose_targets,
    concept_targets,
    contrast_of,
    output_kind,
    output_names,
    stored_targets,
    target_columns,
)
from cdam_bench.computing.micro_batches import MicroBatch
from cdam_bench.configs import build_backbone, build_dataset, build_estimator, build_metrics, build_preprocessing
from cdam_bench.datasets import Batch, Dataset, collate
from cdam_bench.datasets.concepts import warn_about_examples
from cdam_bench.datasets.other_images import other_images
from cdam_bench.errors import UserError, require, require_count, require_whole, with_prefix
from cdam_bench.estimators import Estimator
from cdam_bench.metrics import Metric, Subject
from cdam_bench.metrics.perturbation import DEFAULT_BATCH_SIZE, find_batch_size
from cdam_bench.store.cells import CellKey
from cdam_bench.store.chunks import CURVE, EXPLAINING, IMAGE, SCORE, SECONDS, Arrays
from cdam_bench.store.columns import declaration
from cdam_bench.store.measured import put_together


@dataclass(frozen=True)
class Job:
    """The objects a cell is made with.

    Args:
        key: names of the cell.
        backbone, dataset, estimator: what explains what.
        metrics: name in the configuration → metric.
        seed: of the run.
        target_order: "logit" (of two annotated classes the one with the higher logit is the target) or "annotated"; the
            latter where the outputs do not compete.
        outputs: what kind the outputs are of, see `targets.output_kind`.
        batch_size: images in one forward pass.
        contrast: what is explained in place of a target's own output; metrics measure that all the same.
    """

    key: CellKey
    backbone: Backbone
    dataset: Dataset
    estimator: Estimator
    metrics: dict[str, Metric]
    seed: int
    target_order: str
    outputs: str
    batch_size: int
    contrast: Contrast | None = None

    @classmethod
    def prepare(cls, config: DictConfig, key: CellKey) -> "Job":
        """Build everything, and complain about whatever cannot be."""
        require_count("shards", config.shards)
        require_count("chunk_size", config.chunk_size)
        require_whole("seed", config.seed)
        require_whole("shard", config.shard)
        require(0 <= config.shard < config.shards, f"shard={config.shard}: must be in 0…{config.shards - 1}")
        if config.target_order not in TARGET_ORDERS:
            raise UserError(f"target_order={config.target_order} is unknown: use one of {', '.join(TARGET_ORDERS)}")
        estimator, metrics, contrast = build_estimator(config), build_metrics(config), contrast_of(config)
        backbone, preprocessing = build_backbone(config), build_preprocessing(config)
        if contrast is not None:
            check_contrast(contrast, estimator, backbone)
        dataset = build_dataset(config, preprocessing, backbone)
        outputs = output_kind(dataset, backbone.head)
        target_order = config.target_order if outputs in COMPETING else "annotated"
        _check_names(metrics)
        for name, metric in metrics.items():
            _check(name, metric, preprocessing.image_size)
        batch_size = config.runtime.batch_size
        if batch_size == "auto":
            batch_size = _automatic_batch_size(backbone)
        require_count("runtime.batch_size", batch_size)
        return cls(key, backbone, dataset, estimator, metrics, config.seed, target_order, outputs, batch_size, contrast)

    def declarations(self) -> dict[str, Any]:
        """What every metric says about its columns and curves, for cell.yaml."""
        return {name: declaration(metric.columns(), metric.curves()) for name, metric in self.metrics.items()}

    def measure(
        self,
        start: int,
        stop: int,
        shared: SharedResults,
        only: Sequence[str] | None = None,
        found: Arrays | None = None,
    ) -> Arrays:
        """Explain and measure images start … stop − 1.

        Args:
            start, stop: the images.
            shared: what other estimators have computed.
            only: names of the metrics to measure; None: all.
            found: the chunk as it was: its targets are explained again, and its other metrics stay.
        Returns:
            The chunk.
        """
        clock = time.perf_counter()
        subject, batch, logits = self._subject(start, stop, shared, found)
        explaining = time.perf_counter()
        maps = self._explain(batch, subject, torch.from_numpy(logits))  # on a GPU it waits for the maps
        explaining = time.perf_counter() - explaining
        measured: dict[str, Arrays] = {}
        for name in self.metrics if only is None else only:
            measured[name] = self._measured(name, subject, maps, shared, start, stop)
        names = output_names(self.dataset.class_names, self.backbone.head)
        info = {IMAGE: np.array(batch.image_ids), **target_columns(subject.targets.cpu(), logits, names)}
        info[EXPLAINING] = np.array([explaining])
        info[SECONDS] = np.array([time.perf_counter() - clock])
        return put_together(info, measured, shared.identity["metric"], found)

    def _subject(
        self, start: int, stop: int, shared: SharedResults, found: Arrays | None
    ) -> tuple[Subject, Batch, np.ndarray]:
        """The images with their targets, and the logits (B, C) of the whole head."""
        batch = collate([self.dataset[index] for index in range(start, stop)], self.seed)
        images = batch.images.to(self.backbone.device)
        logits = shared.get("logits", {}, start, stop, lambda: {"logits": self.logits(images)})["logits"]
        warn_about_examples(self.backbone.head, batch.image_ids, batch.images)
        batch = concept_targets(batch, self.dataset.class_names, self.backbone.head)
        if found is None:
            targets, boxes = choose_targets(batch, torch.from_numpy(logits), self.target_order)
        else:
            targets = stored_targets(found)
            boxes = boxes_of(batch, targets)
        masks = None if batch.masks is None else batch.masks.to(images.device)
        subject = Subject(
            self.backbone,
            images,
            targets.to(images.device),
            batch.seeds,
            boxes,
            masks,
            batch_size=self.batch_size,
            normalisation=self.dataset,
            other_images=self._other_images(start, stop, batch.seeds),
        )
        return subject, batch, logits

    def _other_images(self, start: int, stop: int, seeds: Tensor) -> Callable[[], Tensor]:
        """Gives another image of the dataset for each, of other classes where the outputs are classes; read once, if at all."""
        other_classes = self.outputs in COMPETING
        return cache(lambda: other_images(self.dataset, range(start, stop), seeds, other_classes))

    def _measured(
        self, name: str, subject: Subject, maps: Tensor, shared: SharedResults, start: int, stop: int
    ) -> Arrays:
        """One metric's arrays for a chunk."""
        metric = self.metrics[name]
        subject.shared.update(self._shared_of(name, metric, subject, shared, start, stop))
        measurement = metric.measure(subject, maps)
        scores = {SCORE + key: values.double().cpu().numpy() for key, values in measurement.scores.items()}
        return scores | {CURVE + key: values.float().cpu().numpy() for key, values in measurement.curves.items()}

    def logits(self, images: Tensor) -> Tensor:
        """Outputs (B, C) in single precision, so that the targets do not depend on `precision`."""
        with torch.inference_mode():
            return self._forward_size.in_parts(len(images), lambda part: self.backbone(images[part]))

    @cached_property
    def _forward_size(self) -> MicroBatch:
        """Of forward passes; halved when memory runs out, and so for all chunks that follow."""
        return MicroBatch(self.batch_size)

    @cached_property
    def _explain_size(self) -> MicroBatch:
        """Of explanations, which need more memory."""
        return MicroBatch(self.batch_size)

    def _shared_of(
        self, name: str, metric: Metric, subject: Subject, shared: SharedResults, start: int, stop: int
    ) -> dict[str, Tensor]:
        """What a metric shares between estimators: read from the store, or computed and put there."""
        if type(metric).prepare is Metric.prepare:
            return {}
        settings = shared.identity["metric"][name]
        extra = {"metric": settings, "target_order": self.target_order}
        arrays = shared.get(name, extra, start, stop, lambda: metric.prepare(subject))
        return {key: torch.from_numpy(values) for key, values in arrays.items()}

    def _explain(self, batch: Batch, subject: Subject, logits: Tensor) -> Tensor:
        """Maps (B, K, H, W), in parts that fit into memory; every value is finite."""

        targets = subject.targets.cpu()  # where they are looked at before anything is computed

        def explain(part: slice) -> Tensor:
            backbone, chosen = self.backbone, targets[part]
            if self.contrast is not None:
                backbone, chosen = self.contrast.applied(backbone, logits[part], chosen)
            return self.estimator.attribute(backbone, subject.images[part], chosen, subject.seeds[part])

        maps = self._explain_size.in_parts(len(batch), explain)
        finite = maps.isfinite().flatten(1).all(1)
        if not finite.all():
            image = batch.image_ids[int((~finite).nonzero()[0, 0])]
            raise UserError(f"the map of image {image} by estimator {self.key.estimator} has NaN or infinite values")
        return maps


def _check_names(metrics: dict[str, Metric]) -> None:
    """Raise UserError if two metrics give a column, or a curve, of one name."""
    owner: dict[str, str] = {}
    for name, metric in metrics.items():
        for given in (*metric.columns(), *metric.curves()):
            require(
                owner.setdefault(given.name, name) == name,
                f"metric.{owner[given.name]} and metric.{name} both give {given.name}: leave one out, or set metric.{name}.suffix",
            )


def _check(name: str, metric: Metric, image_size: int) -> None:
    """Raise UserError, with the key that the user typed, if a metric cannot be measured on images of that side."""
    try:
        metric.check((image_size, image_size))
    except UserError as error:
        raise with_prefix(error, f"metric.{name}") from error


@lru_cache(maxsize=1)
def _automatic_batch_size(backbone: Backbone) -> int:
    """On a GPU what is fastest; on a CPU throughput hardly depends on it."""
    return find_batch_size(backbone, backbone.image_size) if backbone.device.type == "cuda" else DEFAULT_BATCH_SIZE
