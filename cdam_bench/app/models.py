"""Backbones by what visitors choose or type; a few are kept. What is typed is read as a path only where that is allowed."""

import re
from collections import OrderedDict
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

import timm
from omegaconf import DictConfig, OmegaConf

from cdam_bench import configs
from cdam_bench.app.settings import Settings
from cdam_bench.backbones import Backbone
from cdam_bench.backbones.files import PACKAGED, is_address, weights_places
from cdam_bench.backbones.text_head import TextHead
from cdam_bench.datasets import cifar10
from cdam_bench.datasets.prompts import TextClasses
from cdam_bench.errors import UserError, nearest_names, require
from cdam_bench.explaining.models import Model, given_model

APP = "scripts/app"
HUB_ID = re.compile(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*")
ALLOW = "folders and files of this machine are read only after `cdam-bench app --allow-paths`"
CLASS_NAMES = {"cifar10_vit": cifar10.CLASS_NAMES}  # which its weights do not say
NO_TEMPLATES = ("timm", "hf")  # are chosen by typing a model's own name


class Models:
    """The backbones of an app.

    Args:
        config: of the app; its `backbone` is the first one that is offered, with the owner's own settings and paths.
        settings: of the app.
    """

    def __init__(self, config: DictConfig, settings: Settings) -> None:
        self._config, self._settings = config, settings
        self.first = own_name(config)
        self._kept: OrderedDict[tuple[str, str], Model] = OrderedDict()
        self._text_heads: OrderedDict[tuple[str, ...], Any] = OrderedDict()

    def offered(self) -> list[str]:
        """Names of the backbones whose weights are here, the first one first, then those that come with the package."""
        here = [name for name in configs.choices("backbone") if self._is_here(name)]
        packaged = [name for name in here if (PACKAGED / f"{name}.safetensors").is_file()]
        return list(dict.fromkeys([self.first, *packaged, *here]))

    def _is_here(self, name: str) -> bool:
        path = configs.config_dir() / "backbone" / f"{name}.yaml"
        if name in NO_TEMPLATES or not path.is_file():
            return False
        settings: Any = OmegaConf.load(path)
        if "defaults" in settings:  # fine-tuned from another one, for pictures of its own kind
            return False
        files = [file for file in (settings.get("checkpoint"), settings.get("head")) if isinstance(file, str)]
        weights_dir = self._config.paths.weights_dir
        return all(any(place.is_file() for place in weights_places(file, weights_dir)) for file in files)

    def get(self, name: str, weights: str = "", classes: tuple[str, ...] = ()) -> Model:
        """A backbone with what its pictures go through.

        Args:
            name: one that is offered or in conf/backbone, a name of timm, an id of the hub; a folder, where paths are allowed.
            weights: a file for it, where paths are allowed; "": its own.
            classes: names for a head made of text; (): its own head.
        Raises:
            UserError: for paths that are not allowed, and for names and models that cannot be.
        """
        key = name, weights
        if key not in self._kept:
            self._kept[key] = self._made(name, weights)
        self._kept.move_to_end(key)
        while len(self._kept) > self._settings.max_models:
            self._kept.popitem(last=False)
        model = self._kept[key]
        return self._with_text(model, name, classes) if classes else model

    def _made(self, name: str, weights: str) -> Model:
        require(not is_address(name) and not is_address(weights), "addresses are not fetched: give a name")
        require("${" not in name + weights, f"backbone={name} is no name")  # settings would put something else there
        if weights:
            require(self._settings.allow_paths, f"weights={weights}: {ALLOW}")
            require(Path(weights).is_file(), f"weights={weights} is not found")
        if name == self.first and not weights:
            return self._own()
        if name in configs.choices("backbone") and name not in NO_TEMPLATES:
            return self._of_config(name, weights)
        if weights:
            backbone = Backbone.from_timm(name, checkpoint=weights)
            return given_model(backbone)
        self._check_typed(name)
        return given_model(name)

    def _own(self) -> Model:
        """The owner's, with her names of its classes."""
        names = configs.plain(self._config.class_names)
        backbone = configs.build_backbone(self._config)
        if not isinstance(backbone.head, TextHead):  # which has them already
            backbone = with_class_names(backbone, names or CLASS_NAMES.get(self.first))
        return Model(backbone, configs.build_preprocessing(self._config), self.first)

    def _of_config(self, name: str, weights: str) -> Model:
        config = configs.compose([f"backbone={name}"], APP)
        config.paths, config.runtime = self._config.paths, self._config.runtime
        if weights:
            config.backbone.checkpoint = weights
        backbone = with_class_names(configs.build_backbone(config), CLASS_NAMES.get(name))
        return Model(backbone, configs.build_preprocessing(config), name)

    def _check_typed(self, name: str) -> None:
        """Raise UserError for a name that would be read as a path, or is none."""
        if self._settings.allow_paths:
            return
        if HUB_ID.fullmatch(name) is None and not timm.is_model(name):
            configured = [one for one in configs.choices("backbone") if one not in NO_TEMPLATES]
            near = nearest_names(name, configured, 2) + nearest_names(name, timm.list_models(), 2)
            hint = f"did you mean {' or '.join(near)}?" if near else "choose one that is offered"
            paths = f" ({ALLOW})" if set(name) & set("/\\.~") else ""
            raise UserError(
                f"backbone={name} is no configuration, model of timm or id of Hugging Face's hub: {hint}{paths}"
            )
        require(not Path(name).exists(), f"backbone={name} names something on this machine: {ALLOW}")

    def _with_text(self, model: Model, name: str, classes: tuple[str, ...]) -> Model:
        """The model with a head made of class names; the last ones are kept, as reading a text tower takes seconds."""
        path = str(self._config.backbone.get("path") or "") if name == self.first else name
        require(
            bool(path) and name not in configs.choices("backbone") and not timm.is_model(name),
            f"backbone={name} reads no text: class names as text need CLIP or SigLIP, by their id of Hugging Face's hub"
            + (" or their folder" if self._settings.allow_paths else ""),
        )
        key = (name, *classes)
        if key not in self._text_heads:
            source = TextClasses(path, list(classes), weights_dir=self._config.paths.weights_dir)
            self._text_heads[key] = source.build(model.backbone, model.preprocessing)
            while len(self._text_heads) > self._settings.max_models:
                self._text_heads.popitem(last=False)
        return Model(model.backbone.with_head(self._text_heads[key]), model.preprocessing, model.name)


def with_class_names(backbone: Backbone, names: Sequence[str] | None) -> Backbone:
    """The backbone with names of its classes; None: as it is.

    Raises:
        UserError: for another number of names than there are outputs.
    """
    if names is None:
        return backbone
    count = backbone.num_classes
    require(len(names) == count, f"{len(names)} class_names for a head with {count} outputs")
    named = copy(backbone)  # the built one is kept by others
    named.class_names = [str(name) for name in names]
    return named


def own_name(config: DictConfig) -> str:
    """What the backbone of a configuration is called: its own name, else that of the configuration."""
    named = config.backbone.get("name")
    return str(named) if named is not None else str(config.names.backbone)
