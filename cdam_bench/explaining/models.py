"""A model as users have it: a Backbone, a model of timm or Hugging Face, or the name of one; with the preprocessing it brings."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from torch import nn

from cdam_bench import configs
from cdam_bench.backbones import Backbone
from cdam_bench.datasets import Preprocessing
from cdam_bench.errors import UserError, nearest_names, require
from cdam_bench.explaining.named import named_backbone

KINDS = "a Backbone, a timm or Hugging Face model, or the name of one"


@dataclass(frozen=True)
class Model:
    """What explains a picture.

    Args:
        backbone: frozen.
        preprocessing: that it brings, else ImageNet's.
        name: for showing; None: its shape in words.
    """

    backbone: Backbone
    preprocessing: Preprocessing
    name: str | None = None


def given_model(given: Any) -> Model:
    """A model in one of the ways users have it.

    Args:
        given: a Backbone; a model of timm or `transformers`; or, as text, the name of a configuration in conf/backbone, of a timm
            model (with its published weights), a folder of Hugging Face's layout or an id of its hub. The first that fits is taken.
    Raises:
        UserError: for anything else, saying what to pass, and for models that cannot be explained.
    """
    if isinstance(given, str | Path):
        return _named(given)
    if isinstance(given, Backbone):
        return _described(given)
    if isinstance(given, dict):
        raise UserError("model is a dict of weights: make the model first, and give it these with load_state_dict")
    if isinstance(given, type):
        raise UserError(f"model is the class {given.__name__}: pass an object, such as {given.__name__}(…)")
    require(isinstance(given, nn.Module), f"model is of type {type(given).__name__}: pass {KINDS}")
    given = _unwrapped(given)
    _check_weights(given)
    if is_of_transformers(given):
        return _described(Backbone.from_hf(given), _name_of_hugging_face(given))
    config = getattr(given, "pretrained_cfg", None) or {}
    return _described(Backbone.from_timm(given), config.get("architecture"))


def _unwrapped(model: Any) -> nn.Module:
    """The model inside of what torch wraps around it to train in parallel or to compile."""
    while isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel) or hasattr(model, "_orig_mod"):
        model = model._orig_mod if hasattr(model, "_orig_mod") else model.module
    return model


def _check_weights(model: nn.Module) -> None:
    """Raise UserError for a model that no 32-bit picture in colour can be put through."""
    parameters = list(model.parameters())
    kinds = {str(one.dtype).removeprefix("torch.") for one in parameters}
    require(bool(kinds), f"model {type(model).__name__} has no weights: pass {KINDS}")
    require(kinds == {"float32"}, f"model has weights of {', '.join(sorted(kinds))}: pass model.float()")
    require(
        not any(one.is_meta for one in parameters), "model has weights without values (device meta): load them first"
    )
    channels = next((part.in_channels for part in model.modules() if isinstance(part, nn.Conv2d)), 3)
    require(
        channels == 3, f"model takes images of {channels} channels: only those of 3, red, green and blue, are explained"
    )


@contextmanager
def left_as_it_was(given: Any) -> Iterator[None]:
    """A model that is explained is in eval mode and frozen; afterwards a user's own is as it was before."""
    if isinstance(given, Backbone) or not isinstance(given, nn.Module):
        yield
        return
    training = {module: module.training for module in given.modules()}
    learning = [(parameter, parameter.requires_grad) for parameter in given.parameters()]
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode
        for parameter, learns in learning:
            parameter.requires_grad_(learns)


def is_of_transformers(model: nn.Module) -> bool:
    """Whether a model is one of Hugging Face's library, which need not be here to tell."""
    return any(kind.__name__ == "PreTrainedModel" for kind in type(model).__mro__)


def _name_of_hugging_face(model: Any) -> str:
    """What a model was loaded from, or its class."""
    path = str(getattr(model, "name_or_path", ""))
    return (Path(path).name if Path(path).is_dir() else path) or type(model).__name__


def _named(given: str | Path) -> Model:
    text = str(given)
    if text in configs.choices("backbone"):
        return Model(*named_backbone(text), text)
    if Path(text).is_dir():
        return _described(Backbone.from_hf(text), Path(text).resolve().name)
    if timm.is_model(text):
        return _described(Backbone.from_timm(text, pretrained=True), text)
    if text.count("/") == 1 and not text.startswith(("/", ".", "~")):  # as "facebook/dino-vits16"
        return _described(Backbone.from_hf(text), text)
    near = nearest_names(text, configs.choices("backbone"), 2) + nearest_names(text, timm.list_models(), 2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"available: {', '.join(configs.choices('backbone'))}"
    raise UserError(f"backbone={text} is no configuration, timm model or folder: {hint}")


def _described(backbone: Backbone, name: str | None = None) -> Model:
    own = getattr(backbone, "preprocessing", None)
    return Model(backbone, imagenet_preprocessing(min(backbone.image_size)) if own is None else own, name)


def imagenet_preprocessing(image_size: int) -> Preprocessing:
    """ImageNet's: the shorter side to 256/224 of the image size, the centre cropped."""
    return Preprocessing(image_size, resize=round(image_size * 256 / 224))
