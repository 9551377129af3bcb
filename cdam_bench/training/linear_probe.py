"""Train the linear head of a frozen backbone: one Linear on [CLS], the recipe of the paper's ImageNet classifier.

One process, or several with `torchrun --nproc_per_node=N scripts/train_linear_probe.py`. Every random choice depends on
(seed, epoch, image) alone, so a killed run goes on where it was and gives the same head; so does another number of workers.
"""

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import Compose, Normalize, RandomHorizontalFlip, RandomResizedCrop, ToTensor
from tqdm import tqdm

from cdam_bench.backbones import Backbone, load_backbone
from cdam_bench.backbones.backbone import chosen_precision
from cdam_bench.datasets.multi_object import shuffled
from cdam_bench.datasets.pictures import PictureFile, is_picture, read_picture, some
from cdam_bench.datasets.preprocessing import Preprocessing
from cdam_bench.datasets.samples import image_seed
from cdam_bench.errors import require
from cdam_bench.training.states import save_state

Labelled = list[tuple[Path, int]]


@dataclass(frozen=True)
class Processes:
    """This process among those of torchrun; alone without it.

    Args:
        rank, count: number of this process, and of all.
        device: that it computes on.
    """

    rank: int
    count: int
    device: torch.device

    @classmethod
    def join(cls, device: str) -> "Processes":
        """Meet the other processes; "auto" gives each its own GPU."""
        rank, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if device == "auto":
            local = int(os.environ.get("LOCAL_RANK", 0))
            device = f"cuda:{local}" if torch.cuda.is_available() else "cpu"
        if count > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        return cls(rank, count, torch.device(device))

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Sum of a tensor over all processes."""
        if self.count > 1:
            dist.all_reduce(values)
        return values


class LabelledPictures(Dataset[tuple[Tensor, int]]):
    """Pictures with their class, prepared for the backbone.

    Args:
        pictures: files and class indices.
        transform: picture → (3, H, W), normalised.
        seed: of the transform's random choices; they also depend on `epoch` and the picture's name.
    """

    def __init__(self, pictures: Labelled, transform: Compose | Preprocessing, seed: int = 0) -> None:
        self.pictures, self.transform, self.seed = pictures, transform, seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.pictures[index]
        picture = read_picture(PictureFile(path))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(image_seed(f"{self.epoch}/{path.name}", self.seed))
            return self.transform(picture), label


class EpochSampler(Sampler[int]):
    """This process's share of the images, shuffled by (seed, epoch), from a given step on.

    Args:
        count: images in all.
        batch_size: of all processes together.
        processes: who shares.
        seed: of the run.
    """

    def __init__(self, count: int, batch_size: int, processes: Processes, seed: int) -> None:
        self.count, self.batch_size, self.processes, self.seed = count, batch_size, processes, seed
        self.epoch = self.first_step = 0

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch)
        order = torch.randperm(self.count, generator=generator).tolist()
        order += order[: -self.count % self.processes.count]  # every process gets equally many
        return iter(order[self.first_step * self.batch_size :][self.processes.rank :: self.processes.count])

    def __len__(self) -> int:
        left = self.count + -self.count % self.processes.count - self.first_step * self.batch_size
        return left // self.processes.count


def labelled_pictures(folder: Path, classes: Sequence[str] | None = None) -> tuple[Labelled, list[str]]:
    """Pictures in class folders, with the index of their folder in `classes` (None: all folders, sorted).

    Raises:
        UserError: if there are no class folders, or others than `classes`.
    """
    require(folder.is_dir(), f"{folder} not found: give a folder with one sub-folder of images per class")
    found = sorted(path.name for path in folder.iterdir() if path.is_dir())
    require(
        len(found) > 1, f"{folder} has {len(found)} sub-folders: give a folder with one sub-folder of images per class"
    )
    classes = found if classes is None else list(classes)
    unknown = sorted(set(found) - set(classes))
    require(not unknown, f"{folder} has classes that the training images lack: {some(unknown)}")
    pictures = [
        (path, label)
        for label, name in enumerate(classes)
        if (folder / name).is_dir()
        for path in sorted((folder / name).iterdir())
        if is_picture(path)
    ]
    require(bool(pictures), f"no images in {folder}")
    return pictures, classes


def split(pictures: Labelled, share: float, seed: int) -> tuple[Labelled, Labelled]:
    """Training and validation pictures: `share` of every class, by their names, is set aside."""
    require(0 < share < 1, f"val_share={share}: must be in (0, 1), or give val_dir")
    training, validation = [], []
    for label in sorted({label for _, label in pictures}):
        paths = {str(path.name): path for path, c in pictures if c == label}
        names = shuffled(list(paths), seed)
        held_out = max(1, round(share * len(names))) if len(names) > 1 else 0
        validation += [(paths[name], label) for name in names[:held_out]]
        training += [(paths[name], label) for name in names[held_out:]]
    require(bool(validation), "no class has more than one image: give val_dir")
    return training, validation


class LinearProbe:
    """A head in training, with all that is needed to go on after a kill.

    Args:
        backbone: frozen; its head is not used.
        classes: outputs of the head.
        processes: that train together.
        learning_rate: of Adam.
        precision: of the backbone's features: "fp32" or "bf16" (autocast).
        work_dir: holds `state.pt`.
    """

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        processes: Processes,
        learning_rate: float,
        precision: str,
        work_dir: Path,
    ) -> None:
        require(precision in ("fp32", "bf16"), f"runtime.precision={precision}: use fp32 or bf16 to train a head")
        self.backbone, self.processes = backbone, processes
        self.precision, self.state_path = precision, work_dir / "state.pt"
        self.head = nn.Linear(backbone.embed_dim, classes).to(processes.device)
        self.optimiser = torch.optim.Adam(self.head.parameters(), lr=learning_rate)
        self.epoch = self.step = 0
        self.best: dict[str, float] = {"loss": math.inf}
        self.best_head = self._head_copy()
        if self.state_path.exists():
            self._resume()
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
        save_state(state, self.state_path)

    def _resume(self) -> None:
        state = torch.load(self.state_path, map_location="cpu", weights_only=True)
        shape = tuple(state["head"]["weight"].shape)
        require(
            shape == tuple(self.head.weight.shape),
            f"{self.state_path} is of another run, with a head of shape {shape} instead of "
            f"{tuple(self.head.weight.shape)}: delete it or give another work_dir",
        )
        self.head.load_state_dict(state["head"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.best, self.best_head = state["best"], state["best_head"]

    def _head_copy(self) -> dict[str, Tensor]:
        return {name: value.detach().cpu().clone() for name, value in self.head.state_dict().items()}


def train_linear_probe(config: DictConfig) -> None:
    """The run of `conf/train_linear_probe.yaml`: writes the best head, and a card with its accuracy beside it."""
    require(config.epochs > 0, f"epochs={config.epochs}: must be positive")
    processes = Processes.join(config.runtime.device)
    require(
        config.batch_size > 0 and config.batch_size % processes.count == 0,
        f"batch_size={config.batch_size} cannot be shared by {processes.count} processes: use a multiple of their number",
    )
    training, validation, classes = _find_pictures(config)
    preprocessing = instantiate(config.backbone.preprocessing)
    torch.manual_seed(config.seed)
    probe = LinearProbe(
        _frozen_backbone(config, processes.device),
        len(classes),
        processes,
        config.learning_rate,
        chosen_precision(config.runtime.precision, processes.device),
        Path(config.work_dir),
    )
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
    names = ("architecture", "checkpoint", "image_size", "pretrained", "model_args")
    settings = {name: config.backbone[name] for name in names}
    settings["model_args"] = OmegaConf.to_container(settings["model_args"])
    return load_backbone(**settings, head=nn.Identity(), weights_dir=config.paths.weights_dir, device=device)


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
    output.parent.mkdir(parents=True, exist_ok=True)
    save_file(probe.best_head, output)
    card = {
        "validation accuracy": probe.best["accuracy"],
        "validation loss": probe.best["loss"],
        "best epoch": probe.best["epoch"],
        "training images": training,
        "validation images": validation,
        "classes": classes,
        "processes": probe.processes.count,
        "torch": torch.__version__,
        "config": OmegaConf.to_container(config, resolve=True),
    }
    output.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    print(f"{output}: accuracy {probe.best['accuracy']:.4f} on {validation} validation images")
