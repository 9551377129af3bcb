"""Fine-tune a ViT on nodules: malignancy as one logit, or eight biomarkers as a regression. The paper's recipes.

Every random choice depends on (seed, epoch) alone, and an epoch is done wholly or not at all: a killed run goes on to the same
weights.
"""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from sklearn.metrics import r2_score, roc_auc_score
from torch import Tensor, nn
from tqdm import tqdm

from cdam_bench.backbones.backbone import checked_device, chosen_precision, create_vit
from cdam_bench.backbones.checkpoints import find_weights, load_weights
from cdam_bench.errors import UserError, require, require_count, require_number
from cdam_bench.lidc.dataset import MIDDLE, TASKS, VIEWS, cut, to_images, training_statistics, with_crops
from cdam_bench.lidc.finetuned import kept_digest, save_finetuned
from cdam_bench.lidc.nodule_set import NoduleSet
from cdam_bench.lidc.splits import split_nodules
from cdam_bench.store.files import fingerprint, write_atomically
from cdam_bench.training.states import save_state

SLICES = range(14, 19)  # of which training takes a random one
LOSSES: dict[str, Callable[[], nn.Module]] = {"bce": nn.BCEWithLogitsLoss, "huber": nn.HuberLoss, "mse": nn.MSELoss}
LOSS_OF_TASK = {"malignancy": "bce", "biomarkers": "huber"}
SCHEDULES = ("exponential", "cyclic")
Plain = dict[str, Any]


@dataclass(frozen=True)
class Targets:
    """What the outputs are trained towards.

    Args:
        task: "malignancy" (labels 0 and 1) or "biomarkers" (standardised as the training nodules are).
        values: (N, outputs) float32, of all nodules.
        mean, std: of each output over the training nodules; 0 and 1 for malignancy.
    """

    task: str
    values: Tensor
    mean: list[float]
    std: list[float]

    @classmethod
    def of(cls, nodules: NoduleSet, task: str, train: np.ndarray) -> "Targets":
        """Targets of all nodules, with the statistics of the training rows alone."""
        if task == "malignancy":
            return cls(task, torch.from_numpy(nodules.table.label.to_numpy(np.float32))[:, None], [0.0], [1.0])
        raw = nodules.table[list(TASKS[task])].to_numpy(np.float64)
        mean, std = raw[train].mean(0), raw[train].std(0)
        constant = [name for name, one in zip(TASKS[task], std, strict=True) if one == 0]
        require(
            not constant, f"{', '.join(constant)} are equal in all training nodules: nothing can be learned from them"
        )
        return cls(task, torch.from_numpy(((raw - mean) / std).astype(np.float32)), mean.tolist(), std.tolist())


class NoduleRegressor(nn.Module):
    """A ViT with a linear head on [CLS], of which the last tensors are trained.

    Args:
        vit: without a head of its own.
        outputs: of the head.
        trainable_layers: how many parameter tensors are trained, counted from the end, the head's two among them; "all".
    """

    def __init__(self, vit: nn.Module, outputs: int, trainable_layers: int | str) -> None:
        super().__init__()
        self.vit, self.head = vit, nn.Linear(vit.embed_dim, outputs)
        named = [*vit.named_parameters(), *((f"head.{name}", p) for name, p in self.head.named_parameters())]
        count = len(named) if trainable_layers == "all" else require_count("trainable_layers", trainable_layers)
        require(
            2 <= count <= len(named),
            f"trainable_layers={trainable_layers}: use 2 (the head alone) to {len(named)}, or all",
        )
        self.trained = dict(named[-count:])
        for name, parameter in named:
            parameter.requires_grad_(name in self.trained)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, outputs)."""
        return self.head(self.vit(images))

    def trained_tensors(self) -> dict[str, Tensor]:
        """Copies of what is trained, by name."""
        return {name: parameter.detach().cpu().clone() for name, parameter in self.trained.items()}

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take the values of `trained_tensors`."""
        for name, parameter in self.trained.items():
            parameter.copy_(tensors[name])


class NoduleSlices:
    """Images of nodules for training and for evaluation.

    Args:
        crops: (N, 32, 32, 32) int16 in HU.
        image_size: side in pixels.
        mean, std: of the training crops.
        device: where the images go.
    """

    def __init__(self, crops: np.ndarray, image_size: int, mean: float, std: float, device: torch.device) -> None:
        self.crops, self.image_size, self.mean, self.std, self.device = crops, image_size, mean, std, device

    def training(self, rows: np.ndarray, rotations: bool, generator: np.random.Generator) -> Tensor:
        """One random slice (14 … 18) of each nodule, in a random view, turned by a random multiple of 90°."""
        indices = generator.integers(SLICES.start, SLICES.stop, len(rows))
        views = generator.integers(len(VIEWS), size=len(rows))
        turns = generator.integers(4, size=len(rows)) * rotations
        drawn = zip(rows, views, indices, turns, strict=True)
        return self._images([np.rot90(cut(self.crops[row], VIEWS[v], i), turn) for row, v, i, turn in drawn])

    def evaluated(self, rows: np.ndarray, view: str) -> Tensor:
        """The middle slice of each nodule."""
        return self._images([cut(self.crops[row], view, MIDDLE) for row in rows])

    def _images(self, slices: list[np.ndarray]) -> Tensor:
        return to_images(torch.from_numpy(np.stack(slices)).to(self.device), self.image_size, self.mean, self.std)


class Finetuning:
    """A model in training, with all that is needed to go on after a kill.

    Args:
        model: on its device.
        slices, targets: what it learns.
        rows: train, validation and test → nodules.
        config: of the run.
        precision: "fp32" or "bf16" (autocast).
    """

    def __init__(
        self,
        model: NoduleRegressor,
        slices: NoduleSlices,
        targets: Targets,
        rows: dict[str, np.ndarray],
        config: DictConfig,
        precision: str,
    ) -> None:
        self.model, self.slices, self.targets, self.rows, self.config = model, slices, targets, rows, config
        self.precision = precision
        self.loss = LOSSES[config.loss or LOSS_OF_TASK[config.task]]()
        self.optimiser = torch.optim.Adam(model.trained.values(), lr=config.learning_rate)
        self.scheduler = self._scheduler()
        self.epoch, self.best = 0, {"loss": math.inf, "epoch": 0}
        self.best_tensors = model.trained_tensors()

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.rows["train"]) / self.config.batch_size)

    def _scheduler(self) -> torch.optim.lr_scheduler.LRScheduler:
        """Stepped once per batch."""
        config, steps = self.config, self.steps_per_epoch
        if config.schedule == "exponential":
            return torch.optim.lr_scheduler.ExponentialLR(self.optimiser, config.decay ** (1 / steps))
        return torch.optim.lr_scheduler.CyclicLR(
            self.optimiser,
            base_lr=config.cycle.lowest * config.learning_rate,
            max_lr=config.learning_rate,
            step_size_up=max(1, round(config.cycle.epochs * steps / 2)),
            mode=config.cycle.mode,
            cycle_momentum=False,  # Adam has none to cycle
        )

    def run(self, state_path: Path, stamp: str) -> None:
        """Train until validation has stopped improving, and restore the best epoch."""
        self._resume(state_path, stamp)
        with tqdm(total=self.config.epochs, initial=self.epoch, desc="fine-tuning", unit="epoch") as bar:
            while self.epoch < self.config.epochs and self.epoch - self.best["epoch"] < self.config.patience:
                training_loss = self._train_epoch()
                self.epoch += 1
                loss = self.loss(self.outputs("validation"), self.targets.values[self.rows["validation"]]).item()
                if loss < self.best["loss"]:
                    self.best = {"loss": loss, "epoch": self.epoch}
                    self.best_tensors = self.model.trained_tensors()
                self._save(state_path, stamp)
                bar.set_postfix(train=f"{training_loss:.3f}", validation=f"{loss:.3f}", best=f"{self.best['loss']:.3f}")
                bar.update()
        self.model.restore(self.best_tensors)

    def _train_epoch(self) -> float:
        """Every training nodule once; returns the mean loss."""
        generator = np.random.default_rng([self.config.seed, self.epoch])
        torch.manual_seed(int(generator.integers(2**62)))  # of dropout
        order = generator.permutation(self.rows["train"])
        self.model.train()
        total = 0.0
        for rows in np.array_split(order, self.steps_per_epoch):
            images = self.slices.training(rows, self.config.rotations, generator)
            with self._autocast():
                outputs = self.model(images)
            loss = self.loss(outputs.float(), self.targets.values[rows].to(outputs.device))
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
            self.scheduler.step()
            total += loss.item() * len(rows)
        return total / len(order)

    @torch.no_grad()
    def outputs(self, part: str) -> Tensor:
        """Mean over the three views of the middle slice: (n, outputs), on the CPU."""
        self.model.eval()
        rows = self.rows[part]
        parts = []
        for chunk in np.array_split(rows, math.ceil(len(rows) / max(32, self.config.batch_size))):
            with self._autocast():
                views = [self.model(self.slices.evaluated(chunk, view)).float().cpu() for view in VIEWS]
            parts.append(torch.stack(views).mean(0))
        return torch.cat(parts)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.slices.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _save(self, path: Path, stamp: str) -> None:
        state = {
            "stamp": stamp,
            "model": self.model.trained_tensors(),
            "optimiser": self.optimiser.state_dict(),
            "scheduler": {name: value for name, value in self.scheduler.state_dict().items() if _is_plain(value)},
            "epoch": self.epoch,
            "best": self.best,
            "best_tensors": self.best_tensors,
        }
        save_state(state, path)

    def _resume(self, path: Path, stamp: str) -> None:
        """Go on from a saved state; one of another configuration is begun anew."""
        if not path.is_file():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["stamp"] != stamp:
            return
        self.model.restore(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.epoch, self.best, self.best_tensors = state["epoch"], state["best"], state["best_tensors"]


def finetune_lidc(config: DictConfig) -> None:
    """The run of `conf/finetune_lidc.yaml`: writes the changed weights with a card, and the card among the results.

    Raises:
        UserError: for settings that cannot be, before anything is written.
    """
    _check(config)
    device = checked_device(config.runtime.device)
    precision = chosen_precision(config.runtime.precision, device)
    require(precision in ("fp32", "bf16"), f"runtime.precision={precision}: use fp32 or bf16 to fine-tune")
    nodules = with_crops(Path(config.nodules))
    rows = split_nodules(nodules.table, config.split, config.fold)
    mean, std = training_statistics(nodules.crops[rows["train"]])
    targets = Targets.of(nodules, config.task, rows["train"])
    torch.manual_seed(config.seed)
    vit, base = _base(config)
    model = NoduleRegressor(vit, targets.values.shape[1], config.trainable_layers).to(device)
    kept = kept_digest(model.vit, set(model.trained))
    recipe = _recipe(config) | {"base": base, "kept": kept, "nodules": nodules_digest(nodules), "precision": precision}
    stamp = fingerprint(recipe)
    output, score_file = Path(config.output), Path(config.results_dir) / "lidc" / f"{Path(config.output).stem}.json"
    if _is_done(output, score_file, stamp):
        print(f"{output}: done before")
        return
    slices = NoduleSlices(nodules.crops, config.backbone.image_size, mean, std, device)
    training = Finetuning(model, slices, targets, rows, config, precision)
    training.run(Path(config.work_dir) / f"{output.stem}.pt", stamp)
    scores = {part: measured(training.outputs(part), targets, rows[part]) for part in ("validation", "test")}
    card = {
        "task": config.task,
        "outputs": list(TASKS[config.task]),
        "backbone": _backbone_name(),
        "split": config.split,
        "fold": config.fold,
        "data": config.data,
        "stamp": stamp,
        "kept": kept,
        "counts": {part: len(own) for part, own in rows.items()},
        "image": {"mean": mean, "std": std, "size": config.backbone.image_size},
        "targets": {"mean": targets.mean, "std": targets.std},
        "trained tensors": len(model.trained),
        "best epoch": training.best["epoch"],
        "epochs": training.epoch,
        "scores": scores,
        "recipe": recipe,
        "torch": torch.__version__,
    }
    save_finetuned(output, training.best_tensors, card)
    write_atomically(score_file, (json.dumps(card, indent=2) + "\n").encode())
    shown = {name: value for name, value in scores["test"].items() if isinstance(value, float)}
    print(f"{output}: test {', '.join(f'{name} {value:.3f}' for name, value in shown.items())}")


def measured(outputs: Tensor, targets: Targets, rows: np.ndarray) -> Plain:
    """Scores of outputs (n, outputs) on the nodules `rows`.

    Returns:
        malignancy: accuracy, auc. biomarkers: mse (standardised as in training, mean over the biomarkers), r2 (likewise), and
        both for each biomarker under "each".
    """
    truth, said = targets.values[rows].numpy(), outputs.numpy()
    if targets.task == "malignancy":
        hits = (said[:, 0] > 0) == (truth[:, 0] > 0.5)
        return {"accuracy": float(hits.mean()), "auc": float(roc_auc_score(truth[:, 0], said[:, 0]))}
    mse, r2 = ((said - truth) ** 2).mean(0), r2_score(truth, said, multioutput="raw_values")
    each = {name: {"mse": float(a), "r2": float(b)} for name, a, b in zip(TASKS["biomarkers"], mse, r2, strict=True)}
    return {"mse": float(mse.mean()), "r2": float(np.mean(r2)), "each": each}


def nodules_digest(nodules: NoduleSet) -> str:
    """Digest of everything that is learned from."""
    values = [nodules.table.nodule.str.cat(sep=" "), nodules.table[["label", *TASKS["biomarkers"]]].round(6).to_csv()]
    return fingerprint({"table": values, "crops": fingerprint({"sum": nodules.crops.astype(np.int64).sum(0).tolist()})})


def _check(config: DictConfig) -> None:
    for key, allowed in (("task", TASKS), ("schedule", SCHEDULES), ("cycle.mode", ("triangular", "triangular2"))):
        if (value := OmegaConf.select(config, key)) not in allowed:
            raise UserError(f"{key}={value} is unknown: use one of {', '.join(allowed)}")
    allowed = ("bce",) if config.task == "malignancy" else ("huber", "mse")
    if config.loss is not None and config.loss not in allowed:
        raise UserError(f"loss={config.loss} does not go with task={config.task}: use {' or '.join(allowed)}")
    for key in ("epochs", "patience", "batch_size"):
        require_count(key, config[key])
    require_number("dropout", config.dropout, 0, 0.99)
    require_number("learning_rate", config.learning_rate)
    require_number("decay", config.decay, 0, 1)
    require_number("cycle.lowest", config.cycle.lowest, 0, 1)


def _base(config: DictConfig) -> tuple[nn.Module, Plain]:
    """The backbone's ViT without a head, with dropout (rates have no weights), and what it is."""
    backbone = config.backbone
    args = OmegaConf.to_container(backbone.model_args, resolve=True)
    args |= {"drop_rate": config.dropout, "proj_drop_rate": config.dropout}
    vit = create_vit(backbone.architecture, 0, backbone.image_size, args, backbone.pretrained)
    if backbone.checkpoint is None:
        return vit, {"architecture": backbone.architecture, "checkpoint": None}
    file = find_weights(backbone.checkpoint, config.paths.weights_dir)
    load_weights(vit, file)
    with file.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    return vit, {"architecture": backbone.architecture, "checkpoint": file.name, "sha256": sha256}


def _recipe(config: DictConfig) -> Plain:
    """The settings that the weights depend on."""
    names = ("task", "split", "fold", "seed", "trainable_layers", "dropout", "batch_size", "epochs", "patience")
    names += ("learning_rate", "schedule", "decay", "cycle", "rotations")
    plain = OmegaConf.to_container(config, resolve=True)
    return {name: plain[name] for name in names} | {"loss": plain["loss"] or LOSS_OF_TASK[plain["task"]]}


def _is_done(output: Path, score_file: Path, stamp: str) -> bool:
    """Whether both files are there, made by the same run."""
    if not (output.is_file() and score_file.is_file()):
        return False
    try:
        return json.loads(score_file.read_text())["stamp"] == stamp
    except (ValueError, KeyError):
        return False


def _backbone_name() -> str:
    return HydraConfig.get().runtime.choices["backbone"]


def _is_plain(value: object) -> bool:
    """Whether torch.load(weights_only=True) reads it back: CyclicLR keeps functions in its state."""
    return isinstance(value, int | float | str | bool | type(None) | list)
