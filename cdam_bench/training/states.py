"""The state a killed training resumes from."""

import io
from pathlib import Path
from typing import Any

import torch

from cdam_bench.store.files import sweep_temporaries, write_atomically


def save_state(state: dict[str, Any], path: Path) -> None:
    """Write `state` with torch.save; a kill leaves the old file or the new one."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())
    sweep_temporaries(path.parent.glob(".*.tmp"))
