"""A model's files as Hugging Face keeps them: found in a folder or on its hub, and read without `transformers`."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from cdam_bench.backbones.checkpoints import read_tensors
from cdam_bench.backbones.files import file_digest
from cdam_bench.errors import UserError, one_line, require, require_text

Plain = dict[str, Any]

CONFIG = "config.json"
PREPROCESSORS = (
    "preprocessor_config.json",
    "processor_config.json",
)  # the second holds the first under "image_processor"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
TEXT_FILES = ("*.json", "*.txt", "*.model")  # of tokenizers, and all settings


@dataclass(frozen=True)
class ModelFiles:
    """Where a model's files are.

    Args:
        folder: that holds them.
        name: of the model: the folder's, or the id of the hub.
    """

    folder: Path
    name: str

    def config(self) -> Plain:
        """What config.json says."""
        return self._json(CONFIG)

    def preprocessor(self) -> Plain:
        """What preprocessor_config.json says."""
        for name in PREPROCESSORS:
            if (self.folder / name).is_file():
                content = self._json(name)
                inner = content.get("image_processor")
                if name == PREPROCESSORS[0] or isinstance(inner, dict):
                    return inner if isinstance(inner, dict) else content
        raise UserError(
            f"path={self.folder} has no {PREPROCESSORS[0]}, so how pictures become images is not known: "
            "copy it from where the model comes from, or save_pretrained its image processor there"
        )

    def weights(self) -> list[Path]:
        """The files of weights: safetensors before others, one or several."""
        for name in WEIGHTS:
            index = self.folder / f"{name}.index.json"
            if (self.folder / name).is_file():
                return [self.folder / name]
            if index.is_file():
                listed = self._json(index.name).get("weight_map")
                require(isinstance(listed, dict) and bool(listed), f"{index} has no weight_map: copy it again")
                parts = sorted({Path(str(part)).name for part in listed.values()}) if isinstance(listed, dict) else []
                return [self.folder / part for part in parts]
        raise UserError(f"path={self.folder} has no {' or '.join(WEIGHTS)}: copy the weights there")

    def tensors(self) -> dict[str, Tensor]:
        """All weights by name; nothing is unpickled but tensors."""
        found: dict[str, Tensor] = {}
        for file in self.weights():
            found |= read_tensors(file)
        return found

    def identity(self) -> Plain:
        """What the numbers of a model depend on: its name, and a digest of its settings and weights."""
        files = [self.folder / CONFIG, *(self.folder / name for name in PREPROCESSORS), *self.weights()]
        digest = hashlib.sha256()
        for file in files:
            if file.is_file():
                digest.update(f"{file.name} {_digest(file, file.stat().st_mtime_ns)}\n".encode())
        return {"file": self.name, "sha256": digest.hexdigest()}

    def _json(self, name: str) -> Plain:
        path = self.folder / name
        require(path.is_file(), f"path={self.folder} has no {name}: give a folder that save_pretrained made")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read ({one_line(error)}): copy it again") from error
        require(isinstance(content, dict), f"{path} holds no settings: copy it again")
        return content


@lru_cache(maxsize=8)
def _digest(path: Path, _modified: int) -> str:
    """SHA-256 of a file; `_modified` makes a changed file be read again."""
    return file_digest(path)


def find_model(path: str | Path, weights_dir: str | Path | None = None, with_text: bool = False) -> ModelFiles:
    """Files of a model.

    Args:
        path: a folder, here or in `weights_dir`; or an id of Hugging Face's hub, such as "facebook/dino-vits16": its files are
            taken from the hub's cache, or downloaded there.
        weights_dir: folder of weights files.
        with_text: whether the files of the tokenizer are wanted, too.
    Raises:
        UserError: if there is no such folder, and no such id or no way to it.
    """
    text = require_text("path", str(path) if isinstance(path, Path) else path)
    folder = local_folder(text, weights_dir)
    if folder is not None:
        return ModelFiles(folder, folder.resolve().name)
    _require_id(text)
    return ModelFiles(_from_hub(text, with_text), text)


def local_folder(path: str, weights_dir: str | Path | None = None) -> Path | None:
    """The folder that a path names, or None: then it may be an id of the hub."""
    places = [Path(path).expanduser(), *([] if weights_dir is None else [Path(weights_dir) / path])]
    return next((place for place in places if place.is_dir()), None)


def cell_name(path: str, weights_dir: str | Path | None = None) -> str:
    """What a cell is named after: the folder's name, or of a hub id "owner--name"."""
    folder = local_folder(path, weights_dir)
    if folder is not None:
        return folder.resolve().name
    _require_id(path)
    return path.replace("/", "--")


def _require_id(text: str) -> None:
    """Raise UserError unless what is no folder may be an id of the hub."""
    require(not Path(text).is_file(), f"path={text} is a file: give the folder that holds config.json and the weights")
    require(
        HUB_ID.fullmatch(text) is not None and not text.startswith("."),
        f"path={text} not found: give a folder with config.json and model.safetensors, or an id of Hugging Face's hub",
    )


def model_preprocessor(path: str) -> Plain | None:
    """What preprocessor_config.json says where a model object was loaded from; None if that is not known or has none."""
    if not path:
        return None
    folder = local_folder(path)
    try:
        return ModelFiles(folder or _downloaded(path, PREPROCESSORS), path).preprocessor()
    except UserError:
        return None


def _from_hub(name: str, with_text: bool) -> Path:
    """Folder of the hub's cache that holds the files of an id."""
    settings = TEXT_FILES if with_text else (CONFIG, *PREPROCESSORS)
    folder = _downloaded(name, (*settings, "model*.safetensors*"))
    if not any(folder.glob("model*.safetensors")):
        folder = _downloaded(name, (*settings, "pytorch_model*.bin*"))
    return folder


@lru_cache(maxsize=8)
def _downloaded(name: str, patterns: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except Exception as error:  # the hub has many, and passes on those of its connection
        reason = one_line(error).split(";")[0][:160]
        raise UserError(
            f"path={name} is no folder here, and could not be downloaded from Hugging Face's hub ({reason}): "
            "give a folder with config.json and model.safetensors, or download it elsewhere and copy the folder"
        ) from error
