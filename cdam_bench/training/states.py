"""The state a killed training resumes from, and the settings its weights depend on: one stamp for all trainings.

A state is resumed by a training with the same settings alone. With others it would put old weights under a card with new settings,
and to begin anew would throw away what was trained: both only where the user asks for it, with overwrite=true.
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from cdam_bench.configs import plain
from cdam_bench.errors import UserError
from cdam_bench.store.files import differences, fingerprint, sweep_temporaries, write_atomically

PLACES = (  # the weights do not depend on these
    *("paths", "runtime", "work_dir", "output"),
    *("overwrite", "save_every", "measured_photographs"),
)
WAYS_OUT = "overwrite=true begins anew, another work_dir and output keep both"
DIGITS = 16  # of a digest that people may have to read


@dataclass(frozen=True)
class StateFile:
    """Where a training keeps its state, and what its weights depend on.

    Args:
        path: of the file.
        settings: everything the weights depend on, as plain values; data and start weights as digests.
        overwrite: begin anew, whatever is there.
    """

    path: Path
    settings: Mapping[str, Any]
    overwrite: bool = False

    @property
    def stamp(self) -> str:
        """Digest of the settings."""
        return fingerprint(self.settings)

    def save(self, state: Mapping[str, Any]) -> None:
        """Write `state` with the stamp and the settings; a kill leaves the old file or the new one."""
        buffer = io.BytesIO()
        torch.save({**state, "stamp": self.stamp, "settings": dict(self.settings)}, buffer)
        write_atomically(self.path, buffer.getvalue())
        sweep_temporaries(self.path.parent.glob(".*.tmp"))

    def load(self) -> dict[str, Any] | None:
        """What was saved with the same settings, on the CPU; None: there is nothing, or it is to be begun anew.

        Raises:
            UserError: if the file is damaged, or of a training with other settings.
        """
        if self.overwrite or not self.path.is_file():
            return None
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # what a damaged file raises depends on where it is damaged
            raise UserError(f"{self.path} cannot be read ({type(error).__name__}): {WAYS_OUT}") from error
        if not isinstance(state, dict) or "settings" not in state:
            raise UserError(f"{self.path} does not say with which settings it was trained: {WAYS_OUT}")
        if state["stamp"] != self.stamp:
            changed = differences(state["settings"], self.settings)
            raise UserError(f"{self.path} is of a training with other settings ({changed}): {WAYS_OUT}")
        return state


def training_settings(config: DictConfig) -> dict[str, Any]:
    """All settings of a training but where its files are and how it is computed."""
    return {name: value for name, value in plain(config).items() if name not in PLACES}


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """Digest of tensors with their names and shapes, whatever their order and device."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
