"""Heads made of text: an image is compared with prompts, as CLIP and SigLIP were trained to do; every class is a target."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cdam_bench.backbones.hugging_face_files import ModelFiles
from cdam_bench.backbones.hugging_face_models import TOWERS
from cdam_bench.errors import UserError, one_line, require, require_text

TEMPLATES = ("a photo of a {}.",)
EXTRA = "pip install 'cdam-bench[hf]'"
TOKENIZERS = ("tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model")  # any of them
BATCH_SIZE = 256  # prompts in one forward pass of the text tower


class TextHead(nn.Module):
    """Scaled cosine between the projected features and one embedding per class, plus a bias.

    Args:
        embeddings: (C, E), of the classes' prompts, any length.
        names: C names of the classes.
        scale: what cosines are multiplied with.
        bias: added to every output; SigLIP's, else 0.
        projection: (E, D), from the features to the space of the text; None: they are in it already.
        output_kind: "classes" that compete (CLIP), or "labels", each true or not (SigLIP).
    Raises:
        UserError: for another number of names than of embeddings.
    Source: Radford et al. 2021 (CLIP), §3.1.2; Zhai et al. 2023 (SigLIP), §3.2.
    """

    def __init__(
        self,
        embeddings: Tensor,
        names: Sequence[str],
        scale: float = 1.0,
        bias: float = 0.0,
        projection: Tensor | None = None,
        output_kind: str = "classes",
    ) -> None:
        super().__init__()
        require(embeddings.ndim == 2, f"text embeddings of shape {tuple(embeddings.shape)}: expected (C, E)")
        require(len(names) == len(embeddings), f"{len(names)} names for {len(embeddings)} text embeddings")
        self.embeddings: Tensor
        self.projection: Tensor | None
        self.register_buffer("embeddings", F.normalize(embeddings.detach().float(), dim=-1))
        self.register_buffer("projection", None if projection is None else projection.detach().clone().float())
        self.names, self.scale, self.bias, self.output_kind = tuple(names), scale, bias, output_kind

    @property
    def num_features(self) -> int:
        """D, what it reads."""
        return self.embeddings.shape[1] if self.projection is None else self.projection.shape[1]

    def forward(self, features: Tensor) -> Tensor:
        """(B, D) → (B, C)."""
        projected = features if self.projection is None else features @ self.projection.T
        return self.scale * (F.normalize(projected, dim=-1) @ self.embeddings.T) + self.bias


@dataclass(frozen=True)
class TextTower:
    """The part of a model that reads text, with what compares it with images; needs `transformers`.

    Args:
        model: CLIPModel or SiglipModel.
        tokenizer: the model's.
    """

    model: Any
    tokenizer: Any

    @classmethod
    def of_files(cls, files: ModelFiles) -> "TextTower":
        """That of a folder.

        Raises:
            UserError: without `transformers`, and for a model or folder that cannot read text.
        """
        kind = files.config().get("model_type")
        require(
            kind in TOWERS,
            f"path={files.folder} holds a model of type {kind}, which reads no text: text heads need a whole {' or '.join(TOWERS)}",
        )
        require(
            any(
                (files.folder / name).is_file() for name in TOKENIZERS
            ),  # `transformers` makes an empty one without a word
            f"path={files.folder} has no tokenizer ({', '.join(TOKENIZERS)}): copy its files there",
        )
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise UserError(f"text heads need transformers, which is not here: {EXTRA}") from error
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            with _without_progress():
                model = AutoModel.from_pretrained(files.folder, **options)
            return cls(model.float().eval(), AutoTokenizer.from_pretrained(files.folder, **options))
        except (OSError, ValueError, ImportError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"path={files.folder}: its text part cannot be read ({one_line(error)[:160]}): the folder needs the whole "
                "model and its tokenizer, as save_pretrained writes them"
            ) from error

    @property
    def is_sigmoid(self) -> bool:
        """Whether the model was trained with a sigmoid per pair, as SigLIP: then its outputs do not compete."""
        return hasattr(self.model, "logit_bias")

    def embeddings(self, prompts: Sequence[str]) -> Tensor:
        """Prompts → (number of prompts, E)."""
        parts = [self._embedded(prompts[start : start + BATCH_SIZE]) for start in range(0, len(prompts), BATCH_SIZE)]
        return torch.cat(parts)

    @torch.no_grad()
    def _embedded(self, prompts: Sequence[str]) -> Tensor:
        limit = self.model.config.text_config.max_position_embeddings
        padding = "max_length" if self.is_sigmoid else True  # as each was trained
        tokens = self.tokenizer(list(prompts), padding=padding, truncation=True, max_length=limit, return_tensors="pt")
        known = {name: tokens[name] for name in ("input_ids", "attention_mask") if name in tokens}
        found = self.model.get_text_features(**known)
        return found if isinstance(found, Tensor) else found.pooler_output  # of older and newer versions

    def head(self, class_names: Sequence[str], templates: Sequence[str] = TEMPLATES) -> TextHead:
        """The head that compares images with class names.

        Args:
            class_names: of the outputs, in order.
            templates: prompts with {} where the name goes; of several, the mean of the normalised embeddings is taken.
        Raises:
            UserError: for no names, and templates without {}.
        """
        names, templates = list(class_names), checked_templates(templates)
        require(bool(names), "class_names=[]: give at least one name")
        prompts = [template.format(name) for name in names for template in templates]
        single = F.normalize(self.embeddings(prompts), dim=-1).reshape(len(names), len(templates), -1)  # (C, T, E)
        projection = getattr(self.model, "visual_projection", None)
        return TextHead(
            single.mean(1),
            names,
            scale=float(self.model.logit_scale.detach().exp()),
            bias=float(self.model.logit_bias.detach()) if self.is_sigmoid else 0.0,
            projection=None if projection is None else projection.weight,
            output_kind="labels" if self.is_sigmoid else "classes",
        )


@contextmanager
def _without_progress() -> Iterator[None]:
    """No progress bars of `transformers`."""
    from transformers.utils import logging

    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()


def checked_templates(templates: Sequence[str]) -> list[str]:
    """Templates with one place for a name each, or UserError."""
    listed = [templates] if isinstance(templates, str) else list(templates)
    require(len(listed) >= 1, "templates=[]: give at least one, such as 'a photo of a {}.'")
    for template in listed:
        places = require_text("templates", template).count("{}")
        braces = template.count("{") + template.count("}")
        require(places == 1 and braces == 2, f"templates={template}: must have {{}} once, where the name goes")
    return listed
