"""Configs: the one way from settings to objects, for runs, scripts, training, explaining and Python users.

Settings come from `conf/` (composed by Hydra) or from a finished cell; every object that a configuration names is built here. What
is wrong with an argument is told with the key that the user typed. Nothing heavy is imported before an object is built.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from cdam_bench.errors import UserError, one_line, require, require_count, require_text, unknown_name, with_prefix

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer
    from torch import nn

    from cdam_bench.backbones import Backbone
    from cdam_bench.datasets import Dataset, Preprocessing
    from cdam_bench.estimators import Estimator
    from cdam_bench.metrics import Metric

PACKAGE = Path(__file__).parent
RUN = "config"  # the configuration of a run, conf/config.yaml
ABOUT = ("source", "licence", "name")  # of a backbone: for reading, not for building
OF_ANY_KIND = ("runtime.batch_size", "val_dir")  # text as they come; a number or null can stand there, too
CLOSED_GROUPS = ("runtime", "paths", "names")  # whose keys are the same whatever is chosen
MOVED = {  # where classes were in version 0.1.0 → where they are
    "cdam_bench.concepts.ConceptSource": "cdam_bench.datasets.concepts.ConceptSource",
    "cdam_bench.datasets.LidcNodules": "cdam_bench.lidc.dataset.LidcNodules",
}
Plain = dict[str, Any]


def config_dir() -> Path:
    """Folder of the configuration files: inside the installed package, or beside it in a checkout."""
    packaged = PACKAGE / "conf"
    return packaged if packaged.is_dir() else PACKAGE.parent / "conf"


def choices(group: str) -> list[str]:
    """Names that a group offers, as in `choices("estimator")`; inside a command with those of the user's --config-dir."""
    from hydra.core.global_hydra import GlobalHydra

    if GlobalHydra.instance().is_initialized():
        return sorted(GlobalHydra.instance().config_loader().get_group_options(group))
    return sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))


def compose(overrides: Sequence[str] = (), config_name: str = RUN) -> DictConfig:
    """A configuration as a command would get it, from Python.

    Args:
        overrides: as on the command line, such as ["estimator=cdam", "dataset.num_images=10"].
        config_name: of the command, such as "scripts/explain".
    Raises:
        UserError: for unknown names and keys.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    running, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            return compose(config_name, list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(one_line(error)) from error
    finally:
        GlobalHydra.instance().hydra = running


def plain(config: Any) -> Any:
    """Settings as plain values, everything resolved."""
    return OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config


def check_keys(config: DictConfig, config_name: str) -> None:
    """Raise UserError if a composed configuration has keys that its own files do not have.

    Hydra refuses unknown keys on the command line, but neither `+metric/x=…` nor what the file of an experiment adds.
    """
    known = _known_keys(config_name)
    for key in known:
        require(key in config, f"{key} is taken away, but every run needs it: leave it, or give it a value")
    for key in map(str, config):
        if key not in known:
            raise unknown_name("key", key, known)
        _check_kind(key, config[key], known[key])
        if key in CLOSED_GROUPS:
            for name in map(str, config[key]):
                if name not in known[key]:
                    raise unknown_name("key", f"{key}.{name}", (f"{key}.{one}" for one in known[key]))
                _check_kind(f"{key}.{name}", config[key][name], known[key][name])


def _check_kind(key: str, value: Any, default: Any) -> None:
    """Raise UserError unless a setting is of the kind it has in its own file: a group of settings, text, yes or no."""
    if key in OF_ANY_KIND:
        return
    if isinstance(default, Mapping):
        require(
            OmegaConf.is_dict(value), f"{key}={value}: is a group of settings, such as {key}.{next(iter(default), '…')}"
        )
    elif isinstance(default, bool):
        require(isinstance(value, bool), f"{key}={value}: must be true or false")
    elif default == "":
        require(isinstance(value, str), f"{key}={value}: must be text, in quotes where it is a number")
    elif isinstance(default, str) and value != default:  # one that comes empty may stay so
        require_text(key, value)


@lru_cache(maxsize=8)
def _known_keys(config_name: str) -> Plain:
    """A configuration as it comes; nothing is resolved."""
    composed: Any = OmegaConf.to_container(compose((), config_name), resolve=False)
    return {str(key): value for key, value in composed.items()}


def instantiate(settings: Any, key: str, **arguments: Any) -> Any:
    """The object of settings with `_target_`.

    Args:
        settings: `_target_` and arguments.
        key: where they stand in the configuration, as `metric.fidelity`.
        arguments: further ones, objects already.
    Raises:
        UserError: for a class that is not there and for arguments that it does not take or cannot use.
    """
    import hydra.utils
    from hydra.errors import InstantiationException

    if OmegaConf.is_config(settings) or isinstance(settings, Mapping):
        settings = {**plain(settings)}
        require("_target_" in settings, f"{key} has no _target_: give the class, as in conf/{key.split('.')[0]}")
        target = settings["_target_"]
        require(
            isinstance(target, str), f"{key}._target_={target}: must be the name of a class, as package.module.Class"
        )
        settings = moved(settings)
    try:
        return hydra.utils.instantiate(settings, **arguments)
    except UserError as error:
        raise with_prefix(error, key) from error
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise with_prefix(error.__cause__, key) from error
        reason = one_line(error.__cause__) if error.__cause__ is not None else one_line(error)
        raise UserError(f"{key}: {reason}") from error


def moved(settings: Any) -> Any:
    """Settings whose class is named as it is now, where version 0.1.0 named it otherwise; anything else as it is."""
    if not isinstance(settings, dict) or "_target_" not in settings:
        return settings
    return settings | {"_target_": MOVED.get(settings["_target_"], settings["_target_"])}


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


def _paper_blur(image_size: int | None) -> float:
    """The paper's blur, 14 pixels at 224², for images of another size."""
    from cdam_bench.metrics.perturbation import PAPER_BLUR_SIGMA

    if image_size is None:
        raise UserError("backbone.image_size is not set: give the side of the images in pixels")
    return PAPER_BLUR_SIGMA * image_size / 224


def _timm_setting(setting: str, architecture: str | None) -> Any:
    """What timm says about a model: "name", made fit for a folder, or an argument of `TimmPreprocessing`."""
    if architecture is None:
        raise UserError(
            "backbone.architecture is not set: name a model of timm, as backbone.architecture=vit_tiny_patch16_224"
        )
    if setting == "name":
        return re.sub(r"[/:\\]+", "_", str(architecture)).strip("._")
    import timm

    from cdam_bench.backbones.loading import check_architecture
    from cdam_bench.backbones.preprocessing import timm_settings

    try:
        check_architecture(architecture)
    except UserError as error:
        raise with_prefix(error, "backbone") from error
    config = timm.get_pretrained_cfg(architecture, allow_unregistered=True)
    return timm_settings(config.to_dict() if config is not None else {})[setting]


@lru_cache(maxsize=64)
def _say(line: str) -> None:
    """Print a line the first time that it is to be said."""
    print(line)


OmegaConf.register_new_resolver("timm", _timm_setting, replace=True)


def _of_hugging_face(what: str, *arguments: Any) -> Any:
    """See `settings_of`; torch is not imported before a configuration has such a model."""
    from cdam_bench.backbones.hugging_face import settings_of

    try:
        return settings_of(what, *arguments)
    except UserError as error:
        raise with_prefix(error, "backbone") from error


OmegaConf.register_new_resolver("hf", _of_hugging_face, replace=True)
OmegaConf.register_new_resolver("paper_blur", _paper_blur, replace=True)
OmegaConf.register_new_resolver(
    "contrasted", lambda name, contrast: name if contrast is None else f"{name}_contrast", replace=True
)
OmegaConf.register_new_resolver("choices", lambda group: ", ".join(choices(group)), replace=True)
