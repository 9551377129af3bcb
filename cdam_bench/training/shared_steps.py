"""A training step whose batch is divided among threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
            shares = [size / total * grad for size, _, grads in found if (grad := grads[i]) is not None]
            parameter.grad = reduce(torch.add, shares) if shares else None
        return reduce(torch.add, [size / total * loss for size, loss, _ in found])

    def _part(self, model: nn.Module, images: Tensor, targets: Tensor) -> tuple[int, Tensor, tuple[Tensor | None, ...]]:
        """Images, their mean loss and its gradients."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            logits = model(images)
        loss = F.cross_entropy(logits.float(), targets)
        return len(images), loss.detach(), torch.autograd.grad(loss, self.parameters, allow_unused=True)
