"""Train the linear head of a frozen backbone: one Linear on [CLS], the recipe of the paper's ImageNet classifier.

One process, or several with `torchrun --nproc_per_node=N scripts/train_linear_probe.py`. Every random choice depends on
(seed, epoch, image) alone, so a killed run goes on where it was and gives the same head; so does another number of workers.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from torchvision.transforms import Compose, Normalize, RandomHorizontalFlip, RandomResizedCrop, ToTensor
from tqdm import tqdm

from cdam_bench.backbones import Backbone
from cdam_bench.backbones.loading import chosen_precision
from cdam_bench.configs import Plain, build_backbone, build_preprocessing, plain
from cdam_bench.datasets.preprocessing import Preprocessing
from cdam_bench.errors import require, require_count
from cdam_bench.store.files import write_atomically
from cdam_bench.training.labelled_pictures import (
    EpochSampler,
    Labelled,
    LabelledPictures,
    labelled_pictures,
    names_digest,
    split,
)
from cdam_bench.training.processes import Processes
from cdam_bench.training.states import DIGITS, StateFile, training_settings, weights_digest


class LinearProbe:
    """A head in training, with all that is needed to go on after a kill.

    Args:
        backbone: frozen; its head is not used.
        classes: outputs of the head.
        processes: that train together.
        learning_rate: of Adam.
        precision: of the backbone's features: "fp32" or "bf16" (autocast).
        state_file: where the state is kept; one that is there is resumed.
    """

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        processes: Processes,
        learning_rate: float,
        precision: str,
        state_file: StateFile,
    ) -> None:
        self.backbone, self.processes = backbone, processes
        self.precision, self.state_file = precision, state_file
        self.head = nn.Linear(backbone.embed_dim, classes).to(processes.device)
        self.optimiser = torch.optim.Adam(self.head.parameters(), lr=learning_rate)
        self.epoch = self.step = 0
        self.best: dict[str, float] = {"loss": math.inf}
        self.best_head = self._head_copy()
        if (state := state_file.load()) is not None:
            self._resume(state)
        self.trained = DistributedDataParallel(self.head) if processes.count > 1 else self.head

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """[CLS] latents (B, D), float32."""
        device = self.processes.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return self.backbone.features(images.to(device, non_blocking=True)).float()

    def update(self, images: Tensor, labels: Tensor) -> float:
        """One step of Adam; returns this process's loss."""
        loss = F.cross_entropy(self.trained(self.features(images)), labels.to(self.processes.device))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return loss.item()

    @torch.no_grad()
    def evaluate(self, features: Tensor, labels: Tensor) -> dict[str, float]:
        """Mean loss and accuracy over the validation images of all processes."""
        logits = self.head(features)
        hits = (logits.argmax(1) == labels).sum()
        loss = F.cross_entropy(logits, labels, reduction="sum")
        totals = self.processes.sum(torch.stack([loss, hits, torch.tensor(len(labels), device=loss.device)]).double())
        return {"loss": float(totals[0] / totals[2]), "accuracy": float(totals[1] / totals[2])}

    def finish_epoch(self, scores: dict[str, float]) -> None:
        """Keep the head if its validation loss is the lowest, and go on to the next epoch."""
        self.epoch, self.step = self.epoch + 1, 0
        if scores["loss"] < self.best["loss"]:
            self.best = scores | {"epoch": self.epoch}
            self.best_head = self._head_copy()
        self.save()

    def save(self) -> None:
        """Write the state."""
        if not self.processes.is_first:
            return
        state = {
            "head": self.head.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "best": self.best,
            "best_head": self.best_head,
        }
        self.state_file.save(state)

    def _resume(self, state: Mapping[str, Any]) -> None:
        self.head.load_state_dict(state["head"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.best, self.best_head = state["best"], state["best_head"]

    def _head_copy(self) -> dict[str, Tensor]:
        return {name: value.detach().cpu().clone() for name, value in self.head.state_dict().items()}


def train_linear_probe(config: DictConfig) -> None:
    """The run of `conf/scripts/train_linear_probe.yaml`: writes the best head, and a card with its accuracy beside it.

    Raises:
        UserError: for settings that cannot be, and if work_dir has the state of a training with other settings.
    """
    require_count("epochs", config.epochs)
    processes = Processes.join(config.runtime.device)
    require_count("batch_size", config.batch_size)
    require(
        config.batch_size % processes.count == 0,
        f"batch_size={config.batch_size} cannot be shared by {processes.count} processes: use a multiple of their number",
    )
    precision = chosen_precision(config.runtime.precision, processes.device)
    require(precision in ("fp32", "bf16"), f"runtime.precision={precision}: use fp32 or bf16 to train a head")
    training, validation, classes = _find_pictures(config)
    preprocessing = build_preprocessing(config)
    backbone = _frozen_backbone(config, processes.device)
    settings = _settings(config, precision, backbone, {"training": training, "validation": validation}, classes)
    state_file = StateFile(Path(config.work_dir) / "state.pt", settings, config.overwrite)
    torch.manual_seed(config.seed)
    probe = LinearProbe(backbone, len(classes), processes, config.learning_rate, precision, state_file)
    held_out = _validation_features(probe, LabelledPictures(validation, preprocessing), config)
    pictures = LabelledPictures(training, _augmentation(preprocessing), config.seed)
    sampler = EpochSampler(len(pictures), config.batch_size, processes, config.seed)
    for epoch in range(probe.epoch, config.epochs):
        pictures.epoch = sampler.epoch = epoch
        sampler.first_step = probe.step
        _train_epoch(probe, pictures, sampler, config)
        scores = probe.evaluate(*held_out)
        probe.finish_epoch(scores)
        if processes.is_first:
            print(f"epoch {epoch + 1}: validation loss {scores['loss']:.4f}, accuracy {scores['accuracy']:.4f}")
    if processes.is_first:
        _write(probe, classes, len(training), len(validation), config)
    if processes.count > 1:
        dist.destroy_process_group()


def _find_pictures(config: DictConfig) -> tuple[Labelled, Labelled, list[str]]:
    pictures, classes = labelled_pictures(Path(config.train_dir))
    if config.val_dir is None:
        return *split(pictures, config.val_share, config.seed), classes
    return pictures, labelled_pictures(Path(config.val_dir), classes)[0], classes


def _frozen_backbone(config: DictConfig, device: torch.device) -> Backbone:
    """The configured backbone without a head, on this process's device; precision is the probe's own matter."""
    own = config.copy()
    own.runtime = OmegaConf.merge(config.runtime, {"device": str(device), "precision": "fp32"})
    return build_backbone(own, nn.Identity())


def _settings(
    config: DictConfig, precision: str, backbone: Backbone, parts: dict[str, Labelled], classes: list[str]
) -> Plain:
    """What the head depends on. Wherever the pictures and the weights are, it is their names and contents that count."""
    elsewhere = ("train_dir", "val_dir", "workers")
    settings = {name: value for name, value in training_settings(config).items() if name not in elsewhere}
    pictures = {f"{part}_pictures": names_digest(own, classes)[:DIGITS] for part, own in parts.items()}
    start_weights = weights_digest(backbone.vit.state_dict())[:DIGITS]
    return settings | pictures | {"precision": precision, "start_weights": start_weights}


def _augmentation(preprocessing: Preprocessing) -> Compose:
    """The paper's: torchvision's default random crops and flips."""
    crop = RandomResizedCrop(preprocessing.image_size)
    return Compose([crop, RandomHorizontalFlip(), ToTensor(), Normalize(preprocessing.mean, preprocessing.std)])


def _validation_features(probe: LinearProbe, pictures: LabelledPictures, config: DictConfig) -> tuple[Tensor, Tensor]:
    """Features and labels of this process's share of the validation images: they are the same in every epoch."""
    processes = probe.processes
    share = range(processes.rank, len(pictures), processes.count)
    loader = DataLoader(pictures, config.batch_size, sampler=share, num_workers=config.workers)
    bar = tqdm(loader, desc="validation features", unit="batch", disable=not processes.is_first)
    parts = [(probe.features(images), labels) for images, labels in bar]
    features, labels = (torch.cat(part) for part in zip(*parts, strict=True))
    return features, labels.to(processes.device)


def _train_epoch(probe: LinearProbe, pictures: LabelledPictures, sampler: EpochSampler, config: DictConfig) -> None:
    """What is left of one epoch."""
    processes = probe.processes
    own_batch = config.batch_size // processes.count
    steps = math.ceil(len(pictures) / config.batch_size)
    loader = DataLoader(
        pictures, own_batch, sampler=sampler, num_workers=config.workers, pin_memory=processes.device.type == "cuda"
    )
    with tqdm(
        total=steps,
        initial=probe.step,
        desc=f"epoch {probe.epoch + 1}/{config.epochs}",
        unit="step",
        disable=not processes.is_first,
    ) as bar:
        for images, labels in loader:
            loss = probe.update(images, labels)
            probe.step += 1
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()
            if probe.step % config.save_every == 0:
                probe.save()


def _write(probe: LinearProbe, classes: list[str], training: int, validation: int, config: DictConfig) -> None:
    output = Path(config.output)
    card = {
        "validation accuracy": probe.best["accuracy"],
        "validation loss": probe.best["loss"],
        "best epoch": probe.best["epoch"],
        "training images": training,
        "validation images": validation,
        "classes": classes,
        "processes": probe.processes.count,
        "torch": torch.__version__,
        "config": plain(config),
    }
    write_atomically(output, save(probe.best_head))
    write_atomically(output.with_suffix(".json"), (json.dumps(card, indent=2) + "\n").encode())
    print(f"{output}: accuracy {probe.best['accuracy']:.4f} on {validation} validation images")
