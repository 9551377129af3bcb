"""Fine-tune a ViT on nodules: malignancy as one logit, or eight biomarkers as a regression. The paper's recipes.

Every random choice depends on (seed, epoch) alone, and an epoch is done wholly or not at all: a killed run goes on to the same
weights.
"""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from tqdm import tqdm

from cdam_bench.backbones.loading import checked_device, chosen_precision
from cdam_bench.configs import build_vit, plain
from cdam_bench.errors import UserError, require, require_count, require_number
from cdam_bench.lidc.dataset import TASKS, VIEWS, training_statistics, with_crops
from cdam_bench.lidc.finetuned import kept_digest, read_card, save_finetuned
from cdam_bench.lidc.nodule_set import NoduleSet
from cdam_bench.lidc.regressor import NoduleRegressor, NoduleSlices
from cdam_bench.lidc.splits import split_nodules
from cdam_bench.lidc.targets import Targets, measured
from cdam_bench.store.files import differences, write_atomically
from cdam_bench.training.states import WAYS_OUT, StateFile, weights_digest

LOSSES: dict[str, Callable[[], nn.Module]] = {"bce": nn.BCEWithLogitsLoss, "huber": nn.HuberLoss, "mse": nn.MSELoss}
LOSS_OF_TASK = {"malignancy": "bce", "biomarkers": "huber"}
SCHEDULES = ("exponential", "cyclic")
Plain = dict[str, Any]


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

    def run(self, state_file: StateFile) -> None:
        """Train until validation has stopped improving, and restore the best epoch; a state that is there is resumed."""
        if (state := state_file.load()) is not None:
            self._resume(state)
        with tqdm(total=self.config.epochs, initial=self.epoch, desc="fine-tuning", unit="epoch") as bar:
            while self.epoch < self.config.epochs and self.epoch - self.best["epoch"] < self.config.patience:
                training_loss = self._train_epoch()
                self.epoch += 1
                loss = self.loss(self.outputs("validation"), self.targets.values[self.rows["validation"]]).item()
                if loss < self.best["loss"]:
                    self.best = {"loss": loss, "epoch": self.epoch}
                    self.best_tensors = self.model.trained_tensors()
                state_file.save(self._state())
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

    def _state(self) -> Plain:
        return {
            "model": self.model.trained_tensors(),
            "optimiser": self.optimiser.state_dict(),
            "scheduler": {name: value for name, value in self.scheduler.state_dict().items() if _is_plain(value)},
            "epoch": self.epoch,
            "best": self.best,
            "best_tensors": self.best_tensors,
        }

    def _resume(self, state: Plain) -> None:
        self.model.restore(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.epoch, self.best, self.best_tensors = state["epoch"], state["best"], state["best_tensors"]


def finetune_lidc(config: DictConfig) -> None:
    """The run of `conf/scripts/finetune_lidc.yaml`: writes the changed weights with a card, and the card among the results.

    What the same settings have done is not done again. A killed training goes on; its state is deleted at the end.

    Raises:
        UserError: for settings that cannot be, and where work_dir has a state or `output` weights of other settings; before
            anything is written.
    """
    _check(config)
    device = checked_device(config.runtime.device)
    precision = chosen_precision(config.runtime.precision, device)
    require(precision in ("fp32", "bf16"), f"runtime.precision={precision}: use fp32 or bf16 to fine-tune")
    nodules = with_crops(Path(config.nodules))
    crops, rows = nodules.crops, split_nodules(nodules.table, config.split, config.fold)
    assert crops is not None  # with_crops has seen to it
    mean, std = training_statistics(crops[rows["train"]])
    targets = Targets.of(nodules, config.task, rows["train"])
    torch.manual_seed(config.seed)
    # dropout has no weights: the checkpoint fits with it and without
    vit, base = build_vit(config, drop_rate=config.dropout, proj_drop_rate=config.dropout)
    model = NoduleRegressor(vit, targets.values.shape[1], config.trainable_layers)
    kept = kept_digest(model.vit, set(model.trained))
    recipe = _recipe(config) | {"base": base, "kept": kept, "start_weights": weights_digest(model.state_dict())}
    recipe |= {"nodules": nodules_digest(nodules), "precision": precision}
    output, score_file = Path(config.output), Path(config.results_dir) / "lidc" / f"{Path(config.output).stem}.json"
    state_file = StateFile(Path(config.work_dir) / f"{output.stem}.pt", recipe, config.overwrite)
    if (card := _finished(output, state_file)) is not None:
        _keep(card, score_file)
        print(f"{output}: done before")
        return
    slices = NoduleSlices(crops, config.backbone.image_size, mean, std, device)
    training = Finetuning(model.to(device), slices, targets, rows, config, precision)
    training.run(state_file)
    scores = {part: measured(training.outputs(part), targets, rows[part]) for part in ("validation", "test")}
    card = {
        "task": config.task,
        "outputs": list(TASKS[config.task]),
        "backbone": _backbone_name(),
        "split": config.split,
        "fold": config.fold,
        "data": config.data,
        "stamp": state_file.stamp,
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
    _keep(card, score_file)
    state_file.path.unlink(missing_ok=True)
    shown = {name: value for name, value in scores["test"].items() if isinstance(value, float)}
    print(f"{output}: test {', '.join(f'{name} {value:.3f}' for name, value in shown.items())}")


def nodules_digest(nodules: NoduleSet) -> str:
    """Digest of everything that is learned from: names, patients, labels and biomarkers, and every voxel, nodule by nodule."""
    assert nodules.crops is not None  # with_crops has seen to it
    order = np.argsort(nodules.table.nodule.to_numpy(dtype=np.str_), kind="stable")
    columns = ["nodule", "patient", "label", *TASKS["biomarkers"]]
    table = nodules.table.iloc[order][columns].round(6)
    digest = hashlib.sha256(table.to_csv(index=False, lineterminator="\n").encode())
    for row, name in zip(order, table.nodule, strict=True):
        digest.update(str(name).encode())
        digest.update(np.ascontiguousarray(nodules.crops[row], "<i2").tobytes())
    return digest.hexdigest()


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


def _recipe(config: DictConfig) -> Plain:
    """The settings that the weights depend on."""
    names = ("task", "split", "fold", "seed", "trainable_layers", "dropout", "batch_size", "epochs", "patience")
    names += ("learning_rate", "schedule", "decay", "cycle", "rotations")
    settings = plain(config)
    return {name: settings[name] for name in names} | {"loss": settings["loss"] or LOSS_OF_TASK[settings["task"]]}


def _finished(output: Path, state_file: StateFile) -> Plain | None:
    """The card of weights that the same settings have made; None: there are none, or they are to be made anew.

    Raises:
        UserError: for weights of other settings: cells may have been measured with them.
    """
    if state_file.overwrite or not output.is_file():
        return None
    card = read_card(output)
    if card["stamp"] != state_file.stamp:
        changed = differences(card["recipe"], state_file.settings)
        raise UserError(f"{output} was trained with other settings ({changed}): {WAYS_OUT}")
    return card


def _keep(card: Plain, score_file: Path) -> None:
    write_atomically(score_file, (json.dumps(card, indent=2) + "\n").encode())


def _backbone_name() -> str:
    return HydraConfig.get().runtime.choices["backbone"]


def _is_plain(value: object) -> bool:
    """Whether torch.load(weights_only=True) reads it back: CyclicLR keeps functions in its state."""
    return isinstance(value, int | float | str | bool | type(None) | list)
