"""Train a small classifier from batches that depend on the step alone, so that a killed run resumes where it was."""

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from cdam_bench.errors import require_count
from cdam_bench.store.files import write_atomically
from cdam_bench.training.log import TrainingLog, last_row
from cdam_bench.training.muon import Muon
from cdam_bench.training.shared_steps import SharedSteps
from cdam_bench.training.states import DIGITS, StateFile, weights_digest


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained.

    Args:
        steps: optimiser steps in all.
        learning_rate: the highest, of both optimisers.
        weight_decay: of both.
        warmup_steps: of linear warm-up, a tenth of the steps at most; then a half cosine to 0.
        ema_decay: of the moving average of the weights.
        precision: "fp32", or "bf16" for autocast, which is fast where the processor has arithmetic for it.
        workers: threads that share each step, see SharedSteps; more than 1 is for the CPU.
    Raises:
        UserError: if steps or workers is not positive.
    """

    steps: int
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup_steps: int = 200
    ema_decay: float = 0.999
    precision: str = "fp32"
    workers: int = 1

    def __post_init__(self) -> None:
        require_count("steps", self.steps)
        require_count("workers", self.workers)

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        warmup = min(self.warmup_steps, self.steps // 10)
        if step < warmup:
            return self.learning_rate * ((step + 1) / warmup)
        share = (step - warmup) / max(1, self.steps - warmup)
        return self.learning_rate * (0.5 * (1 + math.cos(math.pi * share)))


MakeOptimisers = Callable[[nn.Module, Recipe], list[torch.optim.Optimizer]]


class ClassifierTraining:
    """A model in training, with all that is needed to go on after a kill.

    Args:
        model: trained in place.
        recipe: how.
        state_file: where the state is kept; one that is there is resumed.
        optimisers: makes those of the model; a parameter group's `lr_share` is its part of the recipe's learning rate.
    """

    def __init__(
        self, model: nn.Module, recipe: Recipe, state_file: StateFile, optimisers: MakeOptimisers | None = None
    ) -> None:
        self.model, self.state_file = model, state_file
        self.averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay), use_buffers=True)
        self.optimisers = (optimisers or muon_and_adamw)(model, recipe)
        self.step = 0
        self._start, self._cpu_start = time.perf_counter(), time.process_time()
        if (state := state_file.load()) is not None:
            self._resume(state)

    @property
    def seconds(self) -> tuple[float, float]:
        """Spent so far, on the clock and of all cores together, in this run and those it resumed."""
        return time.perf_counter() - self._start, time.process_time() - self._cpu_start

    def update(self, learning_rate: float) -> None:
        """Step both optimisers and the moving average, from the gradients that are set."""
        for group in (group for optimiser in self.optimisers for group in optimiser.param_groups):
            group["lr"] = learning_rate * group.get("lr_share", 1.0)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        self.averaged.update_parameters(self.model)
        self.step += 1

    def save(self) -> None:
        """Write the state."""
        seconds, cpu_seconds = self.seconds
        self.state_file.save(
            {
                "model": self.model.state_dict(),
                "averaged": self.averaged.state_dict(),
                "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
                "step": self.step,
                "seconds": seconds,
                "cpu_seconds": cpu_seconds,
            }
        )

    def _resume(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        for optimiser, stored in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(stored)
        self.step = state["step"]
        self._start -= state["seconds"]
        self._cpu_start -= state["cpu_seconds"]


def train_classifier(
    model: nn.Module,
    batch_at: Callable[[int], tuple[Tensor, Tensor]],
    recipe: Recipe,
    work_dir: Path,
    settings: Mapping[str, Any],
    overwrite: bool = False,
    log_every: int = 50,
    save_every: int = 500,
    optimisers: MakeOptimisers | None = None,
) -> nn.Module:
    """Warm-up and cosine decay on soft targets; returns the exponential moving average of the model.

    Args:
        model: maps images (B, 3, H, W) to logits (B, C); trained in place.
        batch_at: step → (images, target probabilities (B, C)), on the model's device; must depend on the step alone.
        recipe: how it is trained.
        work_dir: holds `state.pt` (to resume from) and `log.csv` (a row every `log_every` steps).
        settings: what the batches depend on, as plain values. Together with the recipe and the weights that the model starts
            from they are the state's stamp.
        overwrite: begin anew, whatever work_dir has.
        log_every, save_every: in steps.
        optimisers: makes those of the model; None: `muon_and_adamw`.
    Returns:
        The averaged model, in eval mode.
    Raises:
        UserError: if work_dir has the state of a training with other settings.
    """
    start_weights = weights_digest(model.state_dict())[:DIGITS]
    state_file = StateFile(
        work_dir / "state.pt", {**settings, **asdict(recipe), "start_weights": start_weights}, overwrite
    )
    training = ClassifierTraining(model, recipe, state_file, optimisers)
    first, steps, running = training.step, recipe.steps, 0.0
    log = TrainingLog(work_dir / "log.csv", first)
    model.train()
    with (
        SharedSteps(model, batch_at, steps, recipe.precision, recipe.workers) as loss_at,
        tqdm(total=steps, initial=first, desc="training", unit="step", smoothing=0.05) as bar,
    ):
        for step in range(first, steps):
            loss = loss_at(step).item()
            training.update(recipe.rate(step))
            running = loss if step == first else 0.98 * running + 0.02 * loss
            bar.update()
            done = training.step
            if done % log_every == 0 or done == steps:
                bar.set_postfix(loss=f"{running:.3f}")
                log.append(done, running, recipe.rate(step), *training.seconds)
            if done % save_every == 0 or done == steps:
                training.save()
    return training.averaged.module.eval()


def muon_and_adamw(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside a ViT's blocks; AdamW for the rest, without decay of biases, norms, tokens and positions."""
    learning_rate, weight_decay = recipe.learning_rate, recipe.weight_decay
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    hidden = [p for name, p in named if p.ndim == 2 and "blocks" in name.split(".")]
    decayed = [
        p for name, p in named if p.ndim in (2, 4) and name.endswith("weight") and "blocks" not in name.split(".")
    ]
    chosen = {id(p) for p in (*hidden, *decayed)}
    others = [p for _, p in named if id(p) not in chosen]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98))]
    if hidden:
        optimisers.append(Muon(hidden, lr=learning_rate, weight_decay=weight_decay))
    return optimisers


def equal_shares(classes: Tensor, num_classes: int) -> Tensor:
    """Classes (B, K) → target probabilities (B, num_classes): 1/K each; a class that comes twice counts twice."""
    shares = torch.zeros(len(classes), num_classes, device=classes.device)
    return shares.scatter_add(1, classes, torch.full(classes.shape, 1 / classes.shape[1], device=classes.device))


def write_model(
    output: Path, weights: dict[str, Tensor], work_dir: Path, device: torch.device, about: dict[str, Any], config: Any
) -> None:
    """Write weights, and beside them the log (.csv) and a card (.json); print the accuracy.

    Args:
        output: .safetensors file.
        weights: by name.
        work_dir: of `train_classifier`, which has the log.
        device: it was trained on.
        about: "test accuracy" and what else the card begins with.
        config: settings of the run, as plain values.
    """
    log = work_dir / "log.csv"
    trained = {"training": last_row(log), "hardware": hardware(device), "torch": torch.__version__, "config": config}
    write_atomically(output, save({name: value.contiguous() for name, value in weights.items()}))
    write_atomically(output.with_suffix(".csv"), log.read_bytes())
    write_atomically(output.with_suffix(".json"), (json.dumps({**about, **trained}, indent=2) + "\n").encode())
    print(json.dumps(about["test accuracy"]))


def hardware(device: torch.device) -> str:
    """What a model was trained on, for its card."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{os.cpu_count()} CPU cores"
