"""Models of Hugging Face as backbones: timm's arithmetic under their weights; `transformers` is not needed to read them."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cdam_bench.backbones.backbone import Backbone
from cdam_bench.backbones.checkpoints import load_head
from cdam_bench.backbones.files import find_weights
from cdam_bench.backbones.heads import LinearHead
from cdam_bench.backbones.hugging_face_files import ModelFiles, cell_name, find_model, model_preprocessor
from cdam_bench.backbones.hugging_face_models import create_model, image_config
from cdam_bench.backbones.hugging_face_preprocessing import HuggingFacePreprocessing, preprocessing_settings
from cdam_bench.backbones.hugging_face_weights import to_timm
from cdam_bench.backbones.loading import prepared
from cdam_bench.backbones.positions import Resampling, prefix_of, resampled, resampling_of, set_resampling
from cdam_bench.errors import UserError, require

Plain = dict[str, Any]
MAX_NAMES_SHOWN = 8


@dataclass(frozen=True)
class Content:
    """A model of `transformers`, in plain values.

    Args:
        name: for messages.
        config: of config.json.
        tensors: weights by name.
        preprocessor: of preprocessor_config.json.
    """

    name: str
    config: Plain
    tensors: dict[str, Tensor]
    preprocessor: Plain

    @classmethod
    def of_files(cls, files: ModelFiles) -> "Content":
        """Of a folder."""
        config = files.config()
        image_config(config)  # complains about what cannot be read, before gigabytes are
        return cls(str(files.folder), config, files.tensors(), files.preprocessor())

    @classmethod
    def of_model(cls, model: Any) -> "Content":
        """Of an object of `transformers`, and of where it was loaded from."""
        config = model.config.to_dict()
        preprocessor = model_preprocessor(str(getattr(model.config, "_name_or_path", "") or ""))
        if preprocessor is None:
            side = image_config(config)["image_size"]
            preprocessor = {"size": {"height": side, "width": side}, "do_center_crop": False}
            warnings.warn(
                f"this {type(model).__name__} comes without preprocessor_config.json: pictures are resized to {side} × {side} and "
                "normalised as usual for its kind; set backbone.preprocessing if it was trained otherwise",
                stacklevel=4,
            )
        return cls(type(model).__name__, config, dict(model.state_dict()), preprocessor)


def from_hugging_face(
    model: Any, head: nn.Module | None = None, image_size: int | None = None, precision: str = "fp32"
) -> Backbone:
    """A model of Hugging Face as a backbone, with its own preprocessing and class names.

    Args:
        model: a folder with config.json and model.safetensors, an id of the hub, or a model object of `transformers`, whose weights
            are copied.
        head: from features (B, D) to outputs; None: the model's classifier or projection, or for a model without, the features.
        image_size: side in pixels; position embeddings are resampled as `transformers` does. None: what the preprocessing gives.
        precision: see Backbone.
    Returns:
        The backbone; its `preprocessing` is the model's, its `class_names` are those of `id2label`, or None.
    Raises:
        UserError: for what cannot be found, read or explained.
    """
    if isinstance(model, str | Path):
        content = Content.of_files(find_model(model))
    else:
        require(
            isinstance(model, nn.Module) and hasattr(getattr(model, "config", None), "to_dict"),
            f"a {type(model).__name__} is no model of Hugging Face: give a folder, an id of the hub, or a model of transformers",
        )
        content = Content.of_model(model)
    return _backbone(content, head, image_size, precision)


def _backbone(content: Content, head: nn.Module | None, image_size: int | None, precision: str) -> Backbone:
    config = image_config(content.config)
    weights = to_timm(content.tensors, config["model_type"])
    settings = preprocessing_settings(content.preprocessor, config["model_type"], config["patch_size"], image_size)
    classifiers = sum(name in weights for name in ("head.weight", "head_dist.weight"))
    own = _own_head(weights, config["hidden_size"])
    classes = len(weights["head.weight"]) if "head.weight" in weights else 0
    vit = create_model(config, settings["image_size"], classes, classifiers)
    _load(vit, weights, config, content.name)
    backbone = Backbone(vit, own if head is None else head, precision)
    backbone.preprocessing = HuggingFacePreprocessing(**settings)
    if head is None:
        backbone.class_names = _class_names(content.config, backbone.num_classes)
    return backbone


def _own_head(weights: dict[str, Tensor], width: int) -> nn.Module | None:
    """Takes a head out of the weights that timm's model has no place for; None: timm's own is the head."""
    if "projection.weight" in weights:
        return _linear(weights, "projection")
    if (
        "head.weight" in weights and weights["head.weight"].shape[1] == 2 * width
    ):  # DINOv2's: [CLS] and the mean patch token
        return _linear(weights, "head", reads_mean=True)
    return None


def _linear(weights: dict[str, Tensor], name: str, reads_mean: bool = False) -> LinearHead:
    """The linear layer of that name, taken out of the weights."""
    own = {part: weights.pop(f"{name}.{part}") for part in ("weight", "bias") if f"{name}.{part}" in weights}
    outputs, features = own["weight"].shape
    head = LinearHead(features, outputs, bias="bias" in own, reads_mean=reads_mean)
    head.load_state_dict(own)
    return head


def _load(vit: Any, weights: dict[str, Tensor], config: Plain, name: str) -> None:
    """Put the weights into timm's model, or raise UserError naming those that do not fit."""
    set_resampling(vit, Resampling(antialias=config["model_type"] == "dinov2_with_registers"))  # as transformers does
    if (positions := weights.get("pos_embed")) is not None:
        weights["pos_embed"] = _for_grid(positions, vit)
    own = vit.state_dict()
    problems = []
    if missing := sorted(own.keys() - weights.keys()):
        problems.append(f"missing {_some(missing)}")
    if unexpected := sorted(weights.keys() - own.keys()):
        problems.append(f"unexpected {_some(unexpected)}")
    both = sorted(own.keys() & weights.keys())
    shapes = ((key, tuple(weights[key].shape), tuple(own[key].shape)) for key in both)
    if misshapen := [f"{key} {found} instead of {wanted}" for key, found, wanted in shapes if found != wanted]:
        problems.append(f"of another shape: {_some(misshapen)}")
    require(not problems, f"the weights of {name} do not fit its config.json (by timm's names): {'; '.join(problems)}")
    vit.load_state_dict(weights)


def _for_grid(positions: Tensor, vit: Any) -> Tensor:
    """Position embeddings in single precision, resampled for the grid of `vit` if they are of another square one."""
    prefix = prefix_of(vit)
    side = round(max(positions.shape[1] - prefix, 0) ** 0.5)
    if side**2 + prefix != positions.shape[1]:
        return positions
    return resampled(positions.float(), (side, side), vit.patch_embed.grid_size, prefix, resampling_of(vit))


def _some(names: list[str]) -> str:
    """A list of names, cut when it is long."""
    more = f" and {len(names) - MAX_NAMES_SHOWN} more" if len(names) > MAX_NAMES_SHOWN else ""
    return ", ".join(names[:MAX_NAMES_SHOWN]) + more


def _class_names(config: Plain, count: int) -> tuple[str, ...] | None:
    """What `id2label` calls the outputs; None where it does not, or only by numbers."""
    known = {str(index): str(name) for index, name in (config.get("id2label") or {}).items()}
    names = tuple(known.get(str(index), f"LABEL_{index}") for index in range(count))
    unknown = len(known) != count or all(name == f"LABEL_{index}" for index, name in enumerate(names))
    return None if unknown else names


def load_hugging_face(
    path: str | Path,
    head: str | Path | nn.Module | None = None,
    num_classes: int | None = None,
    image_size: int | None = None,
    weights_dir: str | Path | None = None,
    device: str | torch.device = "cpu",
    precision: str = "fp32",
) -> Backbone:
    """A model of Hugging Face for a configuration, on its device.

    Args:
        path: folder or hub id; the folder may be in `weights_dir`.
        head: file of a linear head, a module, or None: the model's own classifier.
        num_classes: outputs of a head in a file.
        image_size: side in pixels; None: what the preprocessing gives.
        weights_dir: folder searched for `path` and `head`.
        device, precision: see `load_backbone`.
    Raises:
        UserError: for files that are missing or do not fit, and for a model without a classifier if none is given.
    """
    device, precision = prepared(device, precision)
    content = Content.of_files(find_model(path, weights_dir))
    if isinstance(head, str | Path):
        head = load_head(find_weights(head, weights_dir), image_config(content.config)["hidden_size"], num_classes)
    require(
        head is not None or any("classifier." in name for name in content.tensors),
        f"path={path} has no classifier: give backbone.head, or backbone/head=text (CLIP, SigLIP) or backbone/head=concept",
    )
    return _backbone(content, head, image_size, precision).to(device)


def settings_of(what: str, path: str | None, weights_dir: str | None = None, image_size: int | None = None) -> Any:
    """What a configuration says about a model of Hugging Face without loading it.

    Args:
        what: "name" (of its cells), "image_size" (in pixels) or "preprocessing" (settings with `_target_`).
        path: folder or hub id; the folder may be in `weights_dir`.
        weights_dir: folder of weights files.
        image_size: side in pixels instead of the one its files say.
    """
    if path is None:
        raise UserError("backbone.path is not set: give a folder with config.json and model.safetensors, or a hub id")
    if what == "name":
        return cell_name(path, weights_dir)
    files = find_model(path, weights_dir)
    config = image_config(files.config())
    settings = preprocessing_settings(files.preprocessor(), config["model_type"], config["patch_size"], image_size)
    if what == "image_size":
        return settings["image_size"]
    return {"_target_": f"{HuggingFacePreprocessing.__module__}.{HuggingFacePreprocessing.__name__}", **settings}
