"""Weights files → timm's layout. Nothing is ever unpickled: safetensors, or torch files with weights_only=True."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cdam_bench.errors import UserError, require

PACKAGED = Path(__file__).parents[1] / "weights"
MAX_KEYS_SHOWN = 8


def find_weights(name: str | Path, weights_dir: str | Path | None = None) -> Path:
    """Path of a weights file: `name` itself, in `weights_dir`, or among the small ones that come with the package.

    Raises:
        UserError: naming the places that were searched.
    """
    places = [Path(name)]
    if weights_dir is not None:
        places.append(Path(weights_dir) / name)
    places.append(PACKAGED / name)
    for place in places:
        if place.is_file():
            return place
    searched = ", ".join(str(place) for place in places[:-1])
    raise UserError(f"weights file {name} not found (searched {searched}): put it there or give its path")


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors or torch file by name, on the CPU.

    Raises:
        UserError: if the file is missing, truncated, or holds something other than tensors.
    """
    path = Path(path)
    require(path.is_file(), f"weights file {path} not found: give the path of a .safetensors or .pth file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # every reader has its own exceptions for a broken file
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UserError(f"weights file {path} cannot be read ({reason}): download or copy it again") from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors_only = isinstance(content, Mapping) and all(isinstance(value, Tensor) for value in content.values())
    require(tensors_only, f"weights file {path} does not hold a state dict of tensors")
    return dict(content)


def load_weights(vit: nn.Module, path: str | Path) -> nn.Module:
    """Load a checkpoint into `vit` and return it.

    Args:
        vit: timm VisionTransformer.
        path: file of weights in timm's layout.
    Raises:
        UserError: naming missing, unexpected and misshapen keys.
    """
    weights = read_tensors(path)
    own = vit.state_dict()
    problems = []
    if missing := sorted(own.keys() - weights.keys()):
        problems.append(f"missing {_some(missing)}")
    if unexpected := sorted(weights.keys() - own.keys()):
        problems.append(f"unexpected {_some(unexpected)}")
    misshapen = [
        f"{key} {tuple(weights[key].shape)} instead of {tuple(own[key].shape)}"
        for key in sorted(own.keys() & weights.keys())
        if own[key].shape != weights[key].shape
    ]
    if misshapen:
        problems.append(f"of another shape: {_some(misshapen)}")
    require(not problems, f"weights file {path} does not fit this architecture: {'; '.join(problems)}")
    vit.load_state_dict(weights)
    return vit


def load_head(path: str | Path, embed_dim: int, num_classes: int | None) -> nn.Module:
    """A linear head from a file with `weight` (C, D) and `bias` (C,).

    Raises:
        UserError: if it reads another width or has another number of classes.
    """
    weights = {key.rpartition(".")[2]: value for key, value in read_tensors(path).items()}
    require("weight" in weights, f"head {path} has no `weight`: it holds {_some(sorted(weights))}")
    classes, width = weights["weight"].shape
    require(width == embed_dim, f"head {path} reads {width} features, but the backbone has {embed_dim}")
    require(
        num_classes is None or classes == num_classes,
        f"head {path} has {classes} classes, but backbone.num_classes={num_classes}: set backbone.num_classes={classes}",
    )
    head = nn.Linear(width, classes, bias="bias" in weights)
    head.load_state_dict(weights)
    return head


def _some(names: list[str]) -> str:
    """A list of names, cut when it is long."""
    more = f" and {len(names) - MAX_KEYS_SHOWN} more" if len(names) > MAX_KEYS_SHOWN else ""
    return ", ".join(names[:MAX_KEYS_SHOWN]) + more
