"""Weights files → timm's layout. Nothing is ever unpickled: safetensors, or torch files with weights_only=True."""

import argparse
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cdam_bench.backbones.heads import LinearHead
from cdam_bench.backbones.positions import prefix_of, resampled, resampling_of
from cdam_bench.errors import UserError, require

DINO_BLOCKS = 4  # blocks whose [CLS] DINO's official classifiers for ViT-S read (eval_linear.py --n_last_blocks 4)
CLASSIFIER_NAMES = ("head", "head_dist", "head.fc", "fc", "classifier")  # of timm's families
CLASSIFIERS = tuple(f"{name}.weight" for name in CLASSIFIER_NAMES)
MAX_KEYS_SHOWN = 8

Tensors = dict[str, Tensor]


def read_tensors(path: str | Path) -> Tensors:
    """Tensors of a .safetensors or torch file by name, on the CPU.

    Of a file that holds more than weights (optimiser state, settings), the weights are read; of a full DINO checkpoint,
    the teacher's.

    Raises:
        UserError: if the file is missing, truncated, holds something other than tensors, or values that are no numbers.
    """
    path = Path(path)
    require(path.is_file(), f"weights file {path} not found: give the path of a .safetensors or .pth file")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _unpickled_tensors(path)
    except Exception as error:  # every reader has its own exceptions for a broken file
        raise UserError(f"weights file {path} cannot be read ({_reason(error)})") from error
    for key in ("state_dict", "model", "teacher"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors_only = isinstance(content, Mapping) and all(isinstance(value, Tensor) for value in content.values())
    require(tensors_only and bool(content), f"weights file {path} does not hold a state dict of tensors")
    return _finite(dict(content), path)


def _unpickled_tensors(path: Path) -> Any:
    """What a torch file holds, tensors and plain containers alone: objects that run code are refused."""
    # full DINO checkpoints keep their command line, a plain container of values
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, map_location="cpu", weights_only=True)


def _finite(tensors: Tensors, path: Path) -> Tensors:
    """The tensors, or UserError if one has values that are no numbers: whatever is computed with it would have none either."""
    broken = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    require(not broken, f"weights file {path} has NaN or infinite values in {_some(broken)}: its training failed")
    return tensors


def _reason(error: Exception) -> str:
    """Why a file could not be read, and what to do."""
    if forbidden := re.search(r"GLOBAL (\S+) was not an allowed", str(error)):
        return f"it holds a {forbidden[1]}, and objects that run code are never loaded: save its state dict alone"
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return f"{first[:120]}: it is damaged or half-downloaded; download or copy it again"


def load_weights(vit: nn.Module, path: str | Path) -> nn.Module:
    """Load a checkpoint of any official layout into `vit` and return it.

    The layout is recognised by the keys: timm, DINO (backbone alone, or full with `module.` and `backbone.` prefixes),
    DINOv2 with and without registers, DeiT, torchvision's vit_b_16, Lightning (`model.*` and `linear.*`). Position
    embeddings of another grid are resampled (`resampling_of` says how). A classifier in the file is left out if `vit` has none.

    Args:
        vit: timm VisionTransformer.
        path: .safetensors or torch file.
    Raises:
        UserError: naming missing, unexpected and misshapen keys.
    """
    weights = to_timm(read_tensors(path))
    own = vit.state_dict()
    if not any(key in own for key in CLASSIFIERS):
        weights = {key: value for key, value in weights.items() if key.rpartition(".")[0] not in CLASSIFIER_NAMES}
    if "pos_embed" in weights and "pos_embed" in own:
        weights["pos_embed"] = _resampled(weights["pos_embed"], vit, path)
    _check_keys(weights, own, path)
    vit.load_state_dict(weights)
    return vit


def _check_keys(weights: Tensors, own: Tensors, path: str | Path) -> None:
    """Raise UserError unless both have the same keys with the same shapes."""
    if classifier := next((key for key in CLASSIFIERS if key in own and key in weights), None):
        classes, wanted = len(weights[classifier]), len(own[classifier])
        require(
            classes == wanted,
            f"weights file {path} has a head for {classes} classes, but backbone.num_classes={wanted}: "
            f"set backbone.num_classes={classes}, or give another backbone.head",
        )
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
    only_the_head = missing and not unexpected and not misshapen and all(key.startswith("head.") for key in missing)
    mend = ": it has no classifier; give backbone.head" if only_the_head else ""
    require(not problems, f"weights file {path} does not fit this architecture: {'; '.join(problems)}{mend}")


def to_timm(weights: Tensors) -> Tensors:
    """Tensors by the names of any official layout → by timm's names; unknown names are kept as they are."""
    weights = {key.removeprefix("module."): value for key, value in weights.items()}
    if any(key.startswith("backbone.") for key in weights):  # what is not the backbone is DINO's projection head
        weights = {key.removeprefix("backbone."): weights[key] for key in weights if not _is_projection(key)}
    if any(key.startswith("model.") for key in weights):
        weights = {key.removeprefix("model."): value for key, value in weights.items()}
        weights = {re.sub(r"^linear\.", "head.", key): value for key, value in weights.items()}
    if "class_token" in weights and "conv_proj.weight" in weights:
        return _from_torchvision(weights)
    if "mask_token" in weights or "register_tokens" in weights:
        return _from_dinov2(weights)
    return weights


def _is_projection(key: str) -> bool:
    return re.match(r"head\.(mlp|last_layer)\.", key) is not None


def _from_dinov2(weights: Tensors) -> Tensors:
    """DINOv2 adds a position to [CLS]; timm's version with registers has it inside cls_token."""
    weights = dict(weights)
    weights.pop("mask_token", None)  # for masked training alone
    if "register_tokens" in weights:
        positions = weights.pop("pos_embed")
        weights["reg_token"] = weights.pop("register_tokens")
        weights["cls_token"] = weights["cls_token"] + positions[:, :1]
        weights["pos_embed"] = positions[:, 1:]
    return weights


TORCHVISION_NAMES = (  # pattern in torchvision's vit_b_16, replacement in timm
    (r"^class_token$", "cls_token"),
    (r"^conv_proj\.", "patch_embed.proj."),
    (r"^encoder\.pos_embedding$", "pos_embed"),
    (r"^encoder\.ln\.", "norm."),
    (r"^heads\.head\.", "head."),
    (r"^encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.self_attention\.in_proj_", ".attn.qkv."),
    (r"\.self_attention\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.(?:0|linear_1)\.", ".mlp.fc1."),
    (r"\.mlp\.(?:3|linear_2)\.", ".mlp.fc2."),
)


def _from_torchvision(weights: Tensors) -> Tensors:
    return {renamed(key, TORCHVISION_NAMES): value for key, value in weights.items()}


def renamed(key: str, names: Iterable[tuple[str, str]]) -> str:
    """A key after every (pattern, replacement) of `names`, in their order."""
    for pattern, replacement in names:
        key = re.sub(pattern, replacement, key)
    return key


def _resampled(positions: Tensor, vit: Any, path: str | Path) -> Tensor:
    """Position embeddings (1, P + N, D) for the grid of `vit`; as they are if they have its size already."""
    if positions.shape == vit.pos_embed.shape:
        return positions
    prefix = prefix_of(vit)
    count = positions.shape[1] - prefix
    side = math.isqrt(max(count, 0))
    require(
        side > 0 and side**2 == count,
        f"weights file {path} does not fit this architecture: its pos_embed {tuple(positions.shape)} is no square grid "
        f"after {prefix} prefix tokens",
    )
    return resampled(positions, (side, side), vit.patch_embed.grid_size, prefix, resampling_of(vit))


def load_head(path: str | Path, embed_dim: int, num_classes: int | None) -> nn.Module:
    """The linear head in a file: alone (`weight`, `bias`), DINO's (`module.linear.*`), in a Lightning checkpoint
    (`linear.*`), or the classifier of a whole model.

    One of 4·D features reads the [CLS] latents of the last four blocks, as DINO's official ones for ViT-S do; one of 2·D or 5·D
    reads the mean patch token after one or four of them, as DINO's for ViT-B and DINOv2's do.

    Args:
        path: .safetensors or torch file.
        embed_dim: D, width of the backbone.
        num_classes: classes it must have; None: any.
    Raises:
        UserError: if there is none, it reads another width, or it has another number of classes.
    """
    tensors = {key.removeprefix("module."): value for key, value in read_tensors(path).items()}
    prefix = next((p for p in ("", "linear.", "head.", "heads.head.") if f"{p}weight" in tensors), None)
    require(prefix is not None, f"head {path} has no linear layer: it holds {_some(sorted(tensors))}")
    weights = {part: tensors[f"{prefix}{part}"] for part in ("weight", "bias") if f"{prefix}{part}" in tensors}
    require(
        weights["weight"].ndim == 2,
        f"head {path}: {prefix}weight has shape {tuple(weights['weight'].shape)}, not (classes, features)",
    )
    classes, width = weights["weight"].shape
    layouts = {(blocks + mean) * embed_dim: (blocks, mean) for mean in (True, False) for blocks in (DINO_BLOCKS, 1)}
    require(
        width in layouts,
        f"head {path} reads {width} features, but the backbone has {embed_dim}: use one of {', '.join(map(str, sorted(layouts)))}",
    )
    blocks, mean = layouts[width]
    if mean and prefix == "linear.":  # DINO's evaluation puts [CLS] and the mean together number by number
        weights["weight"] = torch.cat([weights["weight"][:, 0::2], weights["weight"][:, 1::2]], 1)
    require(
        num_classes is None or classes == num_classes,
        f"head {path} has {classes} classes, but backbone.num_classes={num_classes}: set backbone.num_classes={classes}",
    )
    head = LinearHead(width, classes, bias="bias" in weights, blocks_read=blocks, reads_mean=mean)
    head.load_state_dict(weights)
    return head


def _some(names: list[str]) -> str:
    """A list of names, cut when it is long."""
    more = f" and {len(names) - MAX_KEYS_SHOWN} more" if len(names) > MAX_KEYS_SHOWN else ""
    return ", ".join(names[:MAX_KEYS_SHOWN]) + more
