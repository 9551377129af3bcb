"""Building: backbone, dataset, estimator and metrics of a configuration. torch is not imported before one is asked for."""

from __future__ import annotations

import inspect
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from cdam_bench.configs.composing import Plain, instantiate, moved, plain
from cdam_bench.errors import UserError, one_line, require, require_count, require_text, with_prefix

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer
    from torch import nn

    from cdam_bench.backbones import Backbone
    from cdam_bench.datasets import Dataset, Preprocessing
    from cdam_bench.estimators import Estimator
    from cdam_bench.metrics import Metric

ABOUT = ("source", "licence", "name")  # of a backbone: for reading, not for building


def build_preprocessing(config: DictConfig) -> Preprocessing:
    """How pictures become the input of the configured backbone; of fine-tuned weights, what those were trained with."""
    preprocessing = instantiate(config.backbone.preprocessing, "backbone.preprocessing")
    source = head_source(config)
    return preprocessing if not hasattr(source, "preprocessing") else source.preprocessing(preprocessing)


def head_source(config: DictConfig) -> Any:
    """The object that `backbone.head` describes, with `build` and `identity`; None where it is a file or the checkpoint's own."""
    settings = plain(config.backbone).get("head")
    return instantiate(settings, "backbone.head") if isinstance(settings, dict) else None


def build_backbone(config: DictConfig, head: nn.Module | None = None) -> Backbone:
    """The backbone of a configuration, on its device; the last one built is kept, as sweeps ask for it again and again.

    Args:
        config: with the groups `backbone` and `runtime`, `paths.weights_dir` and, for random weights, `seed`.
        head: instead of the configured one, which may be a weights file, null (the head inside the checkpoint), or an object
            whose `build(backbone, preprocessing)` gives the head, such as conf/backbone/head/concept.yaml.
    Raises:
        UserError: for settings and files that cannot be.
    """
    settings = backbone_arguments(config)
    settings |= {"device": config.runtime.device, "precision": config.runtime.precision, "seed": config.get("seed", 0)}
    if head is not None:
        settings["head"] = None
    backbone = _kept_backbone(OmegaConf.to_yaml(OmegaConf.create(settings), sort_keys=True), head is None)
    if config.backbone.get("preprocessing") is not None:  # not what the architecture's own weights were trained with
        backbone.preprocessing = build_preprocessing(config)
        if config.backbone.get("name") is not None:  # a model that brings its own
            _say(f"{config.backbone.name}: {backbone.preprocessing}")
    return backbone if head is None else backbone.with_head(head)


def build_vit(config: DictConfig, **model_args: Any) -> tuple[VisionTransformer, Plain]:
    """The ViT of a configuration to be trained on, without a head: each call makes its own.

    Args:
        config: with the group `backbone`, and `paths.weights_dir`. Random weights are drawn from torch's generator as it is.
        model_args: further arguments of timm's VisionTransformer, such as dropout; none that changes the weights.
    Returns:
        The ViT on the CPU, and what it starts from: architecture, and the checkpoint's file name and sha256.
    Raises:
        UserError: for settings and files that cannot be.
    """
    from torch import nn

    from cdam_bench.backbones import load_backbone
    from cdam_bench.backbones.files import file_digest, find_weights

    settings = backbone_arguments(config)
    require(
        "path" not in settings,
        "backbone=hf: training starts from models of timm; give backbone=timm, or a file of weights",
    )
    settings.pop("preprocessing", None)
    settings |= {"head": nn.Identity(), "model_args": {**(settings.get("model_args") or {}), **model_args}}
    source = {"architecture": settings["architecture"], "checkpoint": None}
    try:
        vit = load_backbone(**settings).vit.requires_grad_(True)
        if settings.get("checkpoint") is not None:
            file = find_weights(settings["checkpoint"], settings["weights_dir"])
            source |= {"checkpoint": file.name, "sha256": file_digest(file)}
    except UserError as error:
        raise with_prefix(error, "backbone") from error
    return vit, source


def backbone_arguments(config: DictConfig) -> Plain:
    """What `load_backbone` is called with for a configuration, but for device and precision."""
    settings = {name: value for name, value in plain(config.backbone).items() if name not in ABOUT}
    _check_backbone(settings)
    preprocessing = settings.pop("preprocessing", None)
    if isinstance(settings.get("head"), dict):
        settings["preprocessing"] = preprocessing
    return settings | {"weights_dir": config.paths.weights_dir}


def _check_backbone(settings: Plain) -> None:
    """Raise UserError for arguments of `load_backbone` that are of the wrong kind."""
    model = "path" if "path" in settings else "architecture"  # of Hugging Face, or of timm
    require_text(f"backbone.{model}", settings.get(model))
    for name in ("num_classes", "image_size"):
        if settings.get(name) is not None:
            require_count(f"backbone.{name}", settings[name])
    for name in ("checkpoint", "head"):
        value = settings.get(name)
        if value is not None and not (name == "head" and isinstance(value, dict)):
            require_text(f"backbone.{name}", value)
    pretrained, model_args = settings.get("pretrained", False), settings.get("model_args")
    require(isinstance(pretrained, bool), f"backbone.pretrained={pretrained}: must be true or false")
    group = model_args is None or isinstance(model_args, dict)
    require(group, f"backbone.model_args={model_args}: must be arguments of the model's class, as {{depth: 12}}")


@lru_cache(maxsize=1)
def _kept_backbone(arguments: str, with_head: bool) -> Backbone:
    import torch
    from torch import nn

    from cdam_bench.backbones import load_backbone
    from cdam_bench.backbones.hugging_face import load_hugging_face

    settings: Plain = plain(OmegaConf.create(arguments))
    load = load_hugging_face if "path" in settings else load_backbone
    preprocessing, seed = settings.pop("preprocessing", None), settings.pop("seed")
    source = settings["head"] if with_head and isinstance(settings["head"], dict) else None
    if not with_head or source is not None:
        settings["head"] = nn.Identity()
    if load is load_backbone and settings.get("checkpoint") is None and not settings.get("pretrained"):
        warnings.warn("the weights are random (backbone.checkpoint=null): the maps mean nothing", stacklevel=2)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)  # of random weights
            backbone = load(**settings)
    except UserError as error:
        raise with_prefix(error, "backbone") from error
    except (
        TypeError,
        ValueError,
        ArithmeticError,
        AssertionError,
        RuntimeError,
    ) as error:  # of what timm makes of them
        raise UserError(f"backbone: these settings make no model: {one_line(error)}") from error
    if source is None:
        return backbone
    made = instantiate(preprocessing, "backbone.preprocessing")
    return backbone.with_head(instantiate(source, "backbone.head").build(backbone, made))


def build_dataset(config: DictConfig, preprocessing: Preprocessing, backbone: Backbone | None = None) -> Dataset:
    """The dataset of a configuration.

    Args:
        config: with the group `dataset`.
        preprocessing: of the backbone.
        backbone: given to a dataset with an argument of that name, such as ImageFolder, whose targets are its outputs.
    """
    asked = backbone is not None and _takes(plain(config.dataset), "backbone")
    extra = {"backbone": backbone} if asked else {}
    return instantiate(config.dataset, "dataset", preprocessing=preprocessing, **extra)


def _takes(settings: Any, argument: str) -> bool:
    """Whether the class of settings has an argument of that name; what is wrong with them is told when it is built."""
    from hydra.utils import get_object

    try:
        return argument in inspect.signature(get_object(moved(settings)["_target_"])).parameters
    except Exception:  # whatever importing a user's module may raise
        return False


def build_estimator(config: DictConfig) -> Estimator:
    """The estimator of a configuration."""
    return instantiate(config.estimator, "estimator")


def build_metrics(config: DictConfig) -> dict[str, Metric]:
    """Name → metric, of those that the configuration does not leave out.

    Raises:
        UserError: if none is left.
    """
    wanted = {str(name): settings for name, settings in config.metric.items() if settings is not None}
    require(bool(wanted), "every metric is left out: keep at least one")
    return {name: instantiate(settings, f"metric.{name}") for name, settings in wanted.items()}


@lru_cache(maxsize=64)
def _say(line: str) -> None:
    """Print a line the first time that it is to be said."""
    print(line)
