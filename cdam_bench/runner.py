"""Run one cell of a sweep: explain the images of a dataset, measure the maps, store the scores, chunk by chunk."""

import hashlib
import platform
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from tqdm import tqdm

from cdam_bench.backbones import Backbone, ConceptHead, load_backbone
from cdam_bench.backbones.backbone import checked_device, chosen_precision
from cdam_bench.backbones.checkpoints import find_weights
from cdam_bench.concepts import warn_about_examples
from cdam_bench.datasets import Batch, Dataset, collate
from cdam_bench.errors import UserError, require, require_count
from cdam_bench.estimators import Estimator
from cdam_bench.metrics import Metric, Subject
from cdam_bench.metrics.perturbation import DEFAULT_BATCH_SIZE, MicroBatch, find_batch_size
from cdam_bench.progress import Heartbeat, KeptError, job_name
from cdam_bench.store import CURVE, IMAGE, INFO, SCORE, SECONDS, Arrays, Cell, CellKey, ChunkFolder, Span, fingerprint

TARGET_ORDERS = ("logit", "annotated")
LIBRARIES = ("cdam-bench", "torch", "timm", "torchvision", "captum", "numpy")
Plain = dict[str, Any]


def run_cell(config: DictConfig) -> None:
    """Run the cell that `config` describes, or what is left of it; a finished one is left alone.

    What makes it fail is kept beside the cell: always in a sweep, where no one looks on; in a run of its own once the cell was
    begun, so that a slip on the command line leaves the store as it is.

    Args:
        config: composed from conf/config.yaml.
    Raises:
        UserError: for settings that cannot be, before anything is written.
    """
    key = CellKey(**config.names)
    cell = Cell(Path(config.results_dir), key)
    kept_error = KeptError(cell.path, config.shard, config.shards)
    try:
        complete = _work_on(cell, config)
    except Exception as error:
        if cell.is_open or HydraConfig.get().mode == RunMode.MULTIRUN:
            kept_error.keep(error)
        raise
    kept_error.forget(whole_cell=complete)


def _work_on(cell: Cell, config: DictConfig) -> bool:
    """Run what is missing of this job's share; says whether the cell is complete then."""
    key = cell.key
    identity = cell_identity(config)
    if cell.is_complete and not config.overwrite:
        cell.open(identity, {})  # complains if it is of another configuration
        print(f"{key}: done before, {cell.num_images} images")
        return True
    job = Job.prepare(config, key)
    details = {
        "num_images": len(job.dataset),
        "chunk_size": config.chunk_size,
        "device": _device_name(job.backbone.device),
        "job": job_name(),
        "versions": _versions(),
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "axes": job.axes(),
    }
    require(
        not config.overwrite or config.shards == 1,
        f"overwrite=true with shards={config.shards}: the shards would delete each other's results; "
        f"delete {cell.path} first",
    )
    cell.open(identity, details, config.overwrite)
    shared = SharedResults(Path(config.results_dir), key, identity)
    spans = cell.ranges(config.shards, config.shard)
    missing = cell.chunks.absent(spans)
    total, left = _num_images(spans), _num_images(missing)
    with (
        Heartbeat(cell.path, config.shard, config.shards, total) as heartbeat,
        tqdm(total=total, initial=total - left, desc=str(key), unit="image") as bar,
    ):

        def compute(start: int, stop: int) -> None:
            cell.chunks.write(start, stop, job.measure(start, stop, shared))

        heartbeat.beat(total - left)
        for start, stop in starting_anywhere(missing) if heartbeat.others() else missing:
            if cell.chunks.absent([(start, stop)]):  # else a twin of this job was faster
                compute(start, stop)
            bar.update(stop - start)
            heartbeat.beat(int(bar.n))
        if cell.chunks.absent(cell.ranges()):
            return False  # other shards are still at work
        for _ in range(3):
            damaged = cell.finish()
            for span in damaged:
                compute(*span)
            if not damaged:
                return True
    raise UserError(f"chunks in {cell.chunks.path} are damaged again each time they are written: check the disk")


def starting_anywhere(spans: list[Span]) -> list[Span]:
    """The same spans in turn from a random one on.

    Jobs that start together on cells of one dataset and backbone thus compute different parts of what they share, and read the
    rest; and twins, jobs with the same share, help each other.
    """
    start = random.SystemRandom().randrange(len(spans)) if spans else 0
    return spans[start:] + spans[:start]


def _num_images(spans: list[Span]) -> int:
    return sum(stop - start for start, stop in spans)


def cell_identity(config: DictConfig) -> Plain:
    """Every setting that a cell's numbers depend on; where and how fast it is run is not among them."""
    resolved = _plain(config)
    backbone = {name: value for name, value in resolved["backbone"].items() if name not in ("source", "licence")}
    for name in ("checkpoint", "head"):
        if isinstance(backbone[name], str):
            file = find_weights(backbone[name], resolved["paths"]["weights_dir"])
            backbone[name] = {"file": file.name, "sha256": _file_digest(file, file.stat().st_mtime_ns)}
    if isinstance(backbone["head"], dict) and "_target_" in backbone["head"]:
        backbone["head"] = instantiate(backbone["head"]).identity()
    dataset = {name: value for name, value in resolved["dataset"].items() if name != "data_dir"}
    return {
        "cdam_bench": version_of("cdam-bench"),
        "dataset": dataset,
        "backbone": backbone,
        "estimator": resolved["estimator"],
        "metric": {name: settings for name, settings in resolved["metric"].items() if settings is not None},
        "seed": resolved["seed"],
        "target_order": resolved["target_order"],
        "precision": chosen_precision(config.runtime.precision, checked_device(config.runtime.device)),
    }


@dataclass(frozen=True)
class Job:
    """The objects a cell is made with.

    Args:
        key: names of the cell.
        backbone, dataset, estimator: what explains what.
        metrics: name in the configuration → metric.
        seed: of the run.
        target_order: "logit" (of two annotated classes the one with the higher logit is the target) or "annotated"; the
            latter for a dataset whose `targets_compete` is False, as its outputs are no classes to choose from.
        batch_size: images in one forward pass.
    """

    key: CellKey
    backbone: Backbone
    dataset: Dataset
    estimator: Estimator
    metrics: dict[str, Metric]
    seed: int
    target_order: str
    batch_size: int

    @classmethod
    def prepare(cls, config: DictConfig, key: CellKey) -> "Job":
        """Build everything, and complain about whatever cannot be."""
        require_count("shards", config.shards)
        require_count("chunk_size", config.chunk_size)
        require(0 <= config.shard < config.shards, f"shard={config.shard}: must be in 0…{config.shards - 1}")
        if config.target_order not in TARGET_ORDERS:
            raise UserError(f"target_order={config.target_order} is unknown: use one of {', '.join(TARGET_ORDERS)}")
        estimator = instantiate(config.estimator)
        metrics = {name: instantiate(settings) for name, settings in config.metric.items() if settings is not None}
        require(bool(metrics), "every metric is left out: keep at least one")
        backbone = build_backbone(config)
        preprocessing = instantiate(config.backbone.preprocessing)
        dataset = instantiate(config.dataset, preprocessing=preprocessing)
        target_order = config.target_order if getattr(dataset, "targets_compete", True) else "annotated"
        for metric in metrics.values():
            metric.check((preprocessing.image_size, preprocessing.image_size))
        batch_size = config.runtime.batch_size
        if batch_size == "auto":
            batch_size = _automatic_batch_size(backbone)
        MicroBatch(batch_size)  # complains about a size that cannot be
        return cls(key, backbone, dataset, estimator, metrics, config.seed, target_order, batch_size)

    def axes(self) -> dict[str, Any]:
        """Axes of all curves."""
        return {name: axes for metric in self.metrics.values() for name, axes in metric.axes().items()}

    def measure(self, start: int, stop: int, shared: "SharedResults") -> Arrays:
        """Explain and measure images start … stop − 1."""
        clock = time.perf_counter()
        batch = collate([self.dataset[index] for index in range(start, stop)], self.seed)
        images = batch.images.to(self.backbone.device)
        logits = shared.get("logits", {}, start, stop, lambda: {"logits": self._logits(images)})["logits"]
        warn_about_examples(self.backbone.head, batch.image_ids, batch.images)
        batch = concept_targets(batch, self.dataset.class_names, self.backbone.head)
        targets, boxes = choose_targets(batch, torch.from_numpy(logits), self.target_order)
        names = output_names(self.dataset.class_names, self.backbone.head)
        subject = Subject(
            self.backbone,
            images,
            targets.to(images.device),
            batch.seeds,
            boxes,
            None if batch.masks is None else batch.masks.to(images.device),
            batch_size=self.batch_size,
        )
        maps = self._explain(batch, subject)
        scores: dict[str, Tensor] = {}
        curves: dict[str, Tensor] = {}
        for name, metric in self.metrics.items():
            subject.shared.update(self._shared_of(name, metric, subject, shared, start, stop))
            measured = metric.measure(subject, maps)
            scores |= measured.scores
            curves |= measured.curves
        info = {IMAGE: np.array(batch.image_ids)}
        for k in range(targets.shape[1]):
            column = ("target", "other")[k] if k < 2 else f"target{k + 1}"
            info[f"{INFO}{column}"] = np.array([names[c] for c in targets[:, k].tolist()])
            info[f"{INFO}{column}_logit"] = logits[np.arange(len(logits)), targets[:, k]]
        return {
            **info,
            **{SCORE + name: values.double().cpu().numpy() for name, values in scores.items()},
            **{CURVE + name: values.float().cpu().numpy() for name, values in curves.items()},
            SECONDS: np.array([time.perf_counter() - clock]),
        }

    def _logits(self, images: Tensor) -> Tensor:
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
        self, name: str, metric: Metric, subject: Subject, shared: "SharedResults", start: int, stop: int
    ) -> dict[str, Tensor]:
        """What a metric shares between estimators: read from the store, or computed and put there."""
        if type(metric).prepare is Metric.prepare:
            return {}
        settings = shared.identity["metric"][name]
        extra = {"metric": settings, "target_order": self.target_order}
        arrays = shared.get(name, extra, start, stop, lambda: metric.prepare(subject))
        return {key: torch.from_numpy(values) for key, values in arrays.items()}

    def _explain(self, batch: Batch, subject: Subject) -> Tensor:
        """Maps (B, K, H, W), in parts that fit into memory; every value is finite."""

        def explain(part: slice) -> Tensor:
            images, targets, seeds = subject.images[part], subject.targets[part], subject.seeds[part]
            return self.estimator.attribute(self.backbone, images, targets, seeds)

        maps = self._explain_size.in_parts(len(batch), explain)
        finite = maps.isfinite().flatten(1).all(1)
        if not finite.all():
            image = batch.image_ids[int((~finite).nonzero()[0, 0])]
            raise UserError(f"the map of image {image} by estimator {self.key.estimator} has NaN or infinite values")
        return maps


def output_names(class_names: Sequence[str], head: nn.Module) -> Sequence[str]:
    """Names of what a head says: its concepts, or the dataset's classes."""
    return head.names if isinstance(head, ConceptHead) else class_names


def concept_targets(batch: Batch, class_names: Sequence[str], head: nn.Module) -> Batch:
    """The batch with outputs of a concept head as targets; any other head leaves it as it is.

    Where every class of the dataset is also the name of a concept, the annotated classes become those concepts; else every
    concept is a target of every image, and no boxes are known.
    """
    if not isinstance(head, ConceptHead):
        return batch
    if set(class_names) <= set(head.names):
        concept_of = torch.tensor([head.names.index(name) for name in class_names])
        return replace(batch, targets=concept_of[batch.targets])
    every = torch.arange(len(head.names)).expand(len(batch), -1)
    return replace(batch, targets=every, boxes=None)


def choose_targets(batch: Batch, logits: Tensor, order: str) -> tuple[Tensor, Tensor | None]:
    """The classes to explain, first the target.

    Args:
        batch: with annotated classes (B, K), or none.
        logits: (B, C) of the unperturbed images.
        order: "logit": of the annotated classes the one with the higher logit comes first; "annotated": as given.
    Returns:
        targets (B, K) long, and their boxes (B, K, 4) or None. Without annotation: the predicted class, (B, 1).
    """
    targets, boxes = batch.targets, batch.boxes
    if targets.shape[1] == 0:
        return logits.argmax(1, keepdim=True), boxes
    if order == "logit":
        ranking = logits.gather(1, targets).argsort(dim=1, descending=True, stable=True)
        targets = targets.gather(1, ranking)
        boxes = None if boxes is None else boxes.gather(1, ranking[..., None].expand(-1, -1, 4))
    return targets, boxes


class SharedResults:
    """What all estimators of a (dataset, backbone) share, computed by whoever needs it first.

    Args:
        results_dir: the store.
        key: any cell of that dataset and backbone.
        identity: of that cell.
    """

    def __init__(self, results_dir: Path, key: CellKey, identity: Plain) -> None:
        self.folder = results_dir / "shared" / key.dataset / key.backbone
        self.identity = identity

    def get(self, name: str, extra: Plain, start: int, stop: int, compute: Callable[[], dict[str, Tensor]]) -> Arrays:
        """Arrays `name` of images start … stop − 1: from disk if they are there, else from `compute`."""
        common = ("cdam_bench", "dataset", "backbone", "seed", "precision")
        digest = fingerprint({**{part: self.identity[part] for part in common}, **extra})
        chunks = ChunkFolder(self.folder / f"{name}-{digest[:12]}", digest)
        arrays = chunks.read(start, stop)
        if arrays is None:
            arrays = {key: values.float().cpu().numpy() for key, values in compute().items()}
            chunks.write(start, stop, arrays)
        return arrays


def build_backbone(config: DictConfig) -> Backbone:
    """The backbone of a configuration, on its device; the last one built is kept, as sweeps ask for it again and again.

    `backbone.head` is a weights file, null (the head inside the checkpoint), or an object to instantiate whose
    `build(backbone, preprocessing)` gives the head, such as conf/backbone/head/concept.yaml.
    """
    settings = _plain(config)["backbone"]
    arguments = {name: value for name, value in settings.items() if name not in ("source", "licence")}
    arguments |= {
        "weights_dir": config.paths.weights_dir,
        "device": config.runtime.device,
        "precision": config.runtime.precision,
    }
    return _cached_backbone(OmegaConf.to_yaml(OmegaConf.create(arguments), sort_keys=True))


@lru_cache(maxsize=1)
def _cached_backbone(arguments: str) -> Backbone:
    settings = OmegaConf.to_container(OmegaConf.create(arguments))
    preprocessing, head = settings.pop("preprocessing"), settings["head"]
    if not isinstance(head, dict):
        return load_backbone(**settings)
    backbone = load_backbone(**settings | {"head": nn.Identity()})
    return backbone.with_head(instantiate(head).build(backbone, instantiate(preprocessing)))


@lru_cache(maxsize=1)
def _automatic_batch_size(backbone: Backbone) -> int:
    """On a GPU what is fastest; on a CPU throughput hardly depends on it."""
    return find_batch_size(backbone, backbone.image_size) if backbone.device.type == "cuda" else DEFAULT_BATCH_SIZE


def _plain(config: DictConfig) -> Plain:
    return OmegaConf.to_container(config, resolve=True)


@lru_cache(maxsize=8)
def _file_digest(path: Path, _modified: int) -> str:
    """SHA-256 of a file; `_modified` makes a changed file be read again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def version_of(library: str) -> str:
    """Installed version of a library."""
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name.replace("-", "_"): version_of(name) for name in LIBRARIES}


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({torch.get_num_threads()} threads)"
