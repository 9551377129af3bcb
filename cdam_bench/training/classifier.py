"""Train a small classifier from batches that depend on the step alone, so that a killed run resumes where it was."""

import csv
import json
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from cdam_bench.errors import require
from cdam_bench.training.muon import Muon
from cdam_bench.training.states import save_state

LOG_FIELDS = ("step", "loss", "learning_rate", "seconds", "cpu_seconds")  # cpu_seconds: of all cores together


def train_classifier(
    model: nn.Module,
    batch_at: Callable[[int], tuple[Tensor, Tensor]],
    steps: int,
    work_dir: Path,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.05,
    warmup_steps: int = 200,
    ema_decay: float = 0.999,
    precision: str = "fp32",
    workers: int = 1,
    log_every: int = 50,
    save_every: int = 500,
) -> nn.Module:
    """Muon and AdamW with warm-up and cosine decay on soft targets; returns the exponential moving average of the model.

    Muon moves the matrices inside a ViT's blocks, AdamW everything else.

    Args:
        model: maps images (B, 3, H, W) to logits (B, C); trained in place.
        batch_at: step → (images, target probabilities (B, C)), on the model's device; must depend on the step alone.
        steps: optimiser steps in all.
        work_dir: holds `state.pt` (to resume from) and `log.csv` (a row every `log_every` steps).
        precision: "fp32", or "bf16" for autocast, which is fast where the processor has arithmetic for it.
        workers: threads that share each step, see SharedSteps; more than 1 is for the CPU.
        log_every, save_every: in steps.
    Returns:
        The averaged model, in eval mode.
    Raises:
        UserError: if steps or workers is not positive.
    """
    require(steps > 0, f"steps={steps}: must be positive")
    require(workers > 0, f"workers={workers}: must be positive")
    work_dir.mkdir(parents=True, exist_ok=True)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema_decay), use_buffers=True)
    optimisers = _optimisers(model, learning_rate, weight_decay)
    state_path, log_path = work_dir / "state.pt", work_dir / "log.csv"
    first, seconds, cpu_seconds = 0, 0.0, 0.0
    if state_path.exists():
        state = torch.load(state_path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        averaged.load_state_dict(state["averaged"])
        for optimiser, stored in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(stored)
        first, seconds, cpu_seconds = state["step"], state["seconds"], state["cpu_seconds"]
    _keep_rows_before(log_path, first)

    model.train()
    start, cpu_start = time.perf_counter() - seconds, time.process_time() - cpu_seconds
    running = 0.0
    with (
        SharedSteps(model, batch_at, steps, precision, workers) as loss_at,
        tqdm(total=steps, initial=first, desc="training", unit="step", smoothing=0.05) as bar,
    ):
        for step in range(first, steps):
            rate = learning_rate * _schedule(step, steps, warmup_steps)
            for group in (group for optimiser in optimisers for group in optimiser.param_groups):
                group["lr"] = rate
            loss = loss_at(step)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimiser in optimisers:
                optimiser.step()
            averaged.update_parameters(model)
            running = loss.item() if step == first else 0.98 * running + 0.02 * loss.item()
            bar.update()
            done = step + 1
            if done % log_every == 0 or done == steps:
                seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
                bar.set_postfix(loss=f"{running:.3f}")
                _append_row(log_path, (done, f"{running:.4f}", f"{rate:.3e}", f"{seconds:.0f}", f"{cpu_seconds:.0f}"))
            if done % save_every == 0 or done == steps:
                state = {
                    "model": model.state_dict(),
                    "averaged": averaged.state_dict(),
                    "optimisers": [optimiser.state_dict() for optimiser in optimisers],
                    "step": done,
                    "seconds": time.perf_counter() - start,
                    "cpu_seconds": time.process_time() - cpu_start,
                }
                save_state(state, state_path)
    return averaged.module.eval()


class SharedSteps:
    """Sets the gradients of a step, the batch divided among threads that compute side by side.

    On a CPU, threads that each take a part of the batch through the whole model are faster than ones that meet in every
    operation, and do not stall when another process takes a core. The next batch is made meanwhile. What is left of the order of
    threads is nothing: each part has its own buffers (those of batch norms; the first part's are kept), and the parts'
    gradients are added in order.

    Args:
        model: maps images (B, 3, H, W) to logits (B, C).
        batch_at: step → (images, target probabilities (B, C)).
        steps: in all.
        precision: "fp32" or "bf16".
        workers: threads; 1: the plain computation.
    """

    def __init__(
        self,
        model: nn.Module,
        batch_at: Callable[[int], tuple[Tensor, Tensor]],
        steps: int,
        precision: str,
        workers: int,
    ) -> None:
        self.batch_at, self.steps, self.precision, self.workers = batch_at, steps, precision, workers
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        shared = {id(p): p for p in model.parameters()}
        self.models = [model, *(deepcopy(model, dict(shared)) for _ in range(workers - 1))]
        self.pool: ThreadPoolExecutor | None = None
        self.ahead: Any = None  # (step, future batch)

    def __enter__(self) -> "SharedSteps":
        if self.workers > 1:
            self.pool = ThreadPoolExecutor(self.workers + 1, initializer=torch.set_num_threads, initargs=(1,))
        return self

    def __exit__(self, *_error: object) -> None:
        if self.pool is not None:
            self.pool.shutdown()

    def __call__(self, step: int) -> Tensor:
        """Sets `.grad` of every trained parameter to that of the mean cross-entropy of this step's batch; returns the latter."""
        if self.pool is None:
            found = [self._part(self.models[0], *self.batch_at(step))]
        else:
            images, targets = self.ahead[1].result() if self.ahead and self.ahead[0] == step else self.batch_at(step)
            parts = [
                self.pool.submit(self._part, model, images[i :: self.workers], targets[i :: self.workers])
                for i, model in enumerate(self.models[: len(images)])
            ]
            if step + 1 < self.steps:
                self.ahead = (step + 1, self.pool.submit(self.batch_at, step + 1))
            found = [part.result() for part in parts]
        total = sum(size for size, _, _ in found)
        for i, parameter in enumerate(self.parameters):
            grads = [(size, grads[i]) for size, _, grads in found if grads[i] is not None]
            parameter.grad = sum(size / total * grad for size, grad in grads) if grads else None
        return sum(size / total * loss for size, loss, _ in found)

    def _part(self, model: nn.Module, images: Tensor, targets: Tensor) -> tuple[int, Tensor, tuple[Tensor | None, ...]]:
        """Images, their mean loss and its gradients."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            logits = model(images)
        loss = F.cross_entropy(logits.float(), targets)
        return len(images), loss.detach(), torch.autograd.grad(loss, self.parameters, allow_unused=True)


def _schedule(step: int, steps: int, warmup_steps: int) -> float:
    """Factor on the learning rate: linear warm-up, then a half cosine to 0."""
    warmup = min(warmup_steps, steps // 10)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _optimisers(model: nn.Module, learning_rate: float, weight_decay: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks; AdamW for the rest, without decay of biases, norms, tokens and positions."""
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


def _keep_rows_before(path: Path, step: int) -> None:
    """Start the log, or cut what a killed run wrote after its last saved state."""
    rows = []
    if path.exists() and step > 0:
        with path.open(newline="") as file:
            rows = [row for row in csv.reader(file) if row and row[0] != "step" and int(row[0]) <= step]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([LOG_FIELDS, *rows])


def _append_row(path: Path, row: tuple[object, ...]) -> None:
    with path.open("a", newline="") as file:
        csv.writer(file).writerow(row)


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
    output.parent.mkdir(parents=True, exist_ok=True)
    log = work_dir / "log.csv"
    output.with_suffix(".csv").write_text(log.read_text())
    save_file({name: value.contiguous() for name, value in weights.items()}, output)
    trained = {"training": last_row(log), "hardware": hardware(device), "torch": torch.__version__, "config": config}
    output.with_suffix(".json").write_text(json.dumps({**about, **trained}, indent=2) + "\n")
    print(json.dumps(about["test accuracy"]))


def hardware(device: torch.device) -> str:
    """What a model was trained on, for its card."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{os.cpu_count()} CPU cores"


def last_row(path: Path) -> dict[str, float]:
    """The end of a log, by column."""
    with path.open(newline="") as file:
        *_, row = csv.DictReader(file)
    return {name: float(value) for name, value in row.items()}
