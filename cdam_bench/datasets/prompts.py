"""Class names as prompts: in a configuration, what a head is made of that compares images with text."""

import importlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from cdam_bench.backbones import Backbone
from cdam_bench.backbones.hugging_face_files import ModelFiles, find_model
from cdam_bench.backbones.text_head import TEMPLATES, TextHead, TextTower, checked_templates
from cdam_bench.datasets.image_folder import FOLDERS, IMAGENET, sub_folders
from cdam_bench.datasets.imagenet_classes import class_names as imagenet_names
from cdam_bench.errors import UserError, require, require_text


class TextClasses:
    """Class names and templates; in a configuration they stand for a head (backbone/head=text).

    Args:
        path: folder or hub id of the whole model, image and text: the backbone's.
        class_names: of the outputs, in order: a list, a text file with a name per line, or "imagenet"; None: the data set's.
        templates: prompts with {} where the name goes.
        dataset: class of the data set whose names are taken where none are given; None: there is none.
        folder: of that data set's images, if it has one: its sub-folders' names are taken, sorted.
        weights_dir: where `path` is looked for, too.
    Raises:
        UserError: for names that are not known or not different.
    """

    def __init__(
        self,
        path: str | None = None,
        class_names: Sequence[str] | str | None = None,
        templates: Sequence[str] = TEMPLATES,
        dataset: str | None = None,
        folder: str | None = None,
        weights_dir: str | Path | None = None,
    ) -> None:
        if path is None:
            raise UserError("text heads need a model that reads text: backbone=hf backbone.path=<folder or hub id>")
        self.path, self.weights_dir = require_text("path", path), weights_dir
        of_dataset = class_names is None or class_names == FOLDERS
        self.class_names = _names_of_dataset(dataset, folder) if of_dataset else _names(class_names or ())
        self.templates = checked_templates(templates)

    @cached_property
    def files(self) -> ModelFiles:
        """Of the model, its tokenizer's too."""
        return find_model(self.path, self.weights_dir, with_text=True)

    def identity(self) -> dict[str, Any]:
        """What the head depends on beside the backbone, which is the same model."""
        return {
            "_target_": f"{__name__}.{type(self).__name__}",
            "path": self.files.name,
            "class_names": self.class_names,
            "templates": self.templates,
        }

    def build(self, backbone: Backbone, preprocessing: Any) -> TextHead:
        """The head for `backbone`.

        Raises:
            UserError: if the model's text part is not there, or is another model's.
        """
        head = TextTower.of_files(self.files).head(self.class_names, self.templates)
        require(
            head.num_features == backbone.embed_dim,
            f"path={self.path} compares {head.num_features} features with text, but the backbone has {backbone.embed_dim}: "
            "give both the same model",
        )
        return head


def _names(class_names: Sequence[str] | str) -> list[str]:
    """Class names as they are given: a list, a file, or "imagenet"."""
    if class_names == IMAGENET:
        return list(imagenet_names())
    if isinstance(class_names, str):
        file = Path(class_names).expanduser()
        require(file.is_file(), f"class_names={class_names} not found: give a text file, a list, or {IMAGENET}")
        class_names = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    names = [require_text("class_names", name) for name in class_names]
    twice = sorted({name for name in names if names.count(name) > 1})
    require(bool(names) and not twice, f"class_names={twice or names}: give every class a name of its own")
    return names


def _names_of_dataset(dataset: str | None, folder: str | None) -> list[str]:
    """Class names of a data set: those of its folders, or of its class."""
    if folder is not None and Path(folder).is_dir():
        found = sub_folders(Path(folder))
        require(bool(found), f"class_names=null: {folder} has no sub-folders to name classes after; give class_names")
        return found
    if dataset is None:
        raise UserError(
            "class_names=null: there is no data set to take them from; give a list, a text file, or imagenet"
        )
    module, _, name = dataset.rpartition(".")
    kind = getattr(importlib.import_module(module), name, None) if module else None
    if name.startswith("ImageNet"):
        return list(imagenet_names())
    own = getattr(kind, "class_names", None)
    require(
        isinstance(own, Sequence), f"class_names=null: {dataset} does not say its classes; give a list, or a text file"
    )
    return [str(one) for one in own or ()]
