"""Fine-tuned weights: the head and the tensors that training changed, to be put on top of the backbone they started from.

A file of `save` is small where few layers were trained. Base and change go together as follows: the backbone's own checkpoint is
loaded, then every tensor in the file replaces the one of the same name; `head.weight` and `head.bias` are the head. The file keeps
a digest of the tensors it does not hold, so that it cannot be put on another backbone unnoticed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from cdam_bench.backbones import Backbone
from cdam_bench.backbones.files import file_digest, find_weights
from cdam_bench.datasets.preprocessing import Preprocessing
from cdam_bench.errors import UserError, require
from cdam_bench.lidc.dataset import OUTPUT_KINDS
from cdam_bench.lidc.pictures import GreyPreprocessing
from cdam_bench.store.files import write_atomically
from cdam_bench.training.states import weights_digest

CARD = "cdam_bench lidc card"  # key of the file's metadata
HEAD = ("head.weight", "head.bias")


def kept_digest(vit: VisionTransformer, changed: set[str]) -> str:
    """Digest of the tensors of a ViT that are not in `changed`; position embeddings are left out, as resampling rounds."""
    left_out = {*changed, *HEAD, "pos_embed"}
    return weights_digest({name: tensor for name, tensor in vit.state_dict().items() if name not in left_out})


def save_finetuned(path: Path, tensors: Mapping[str, Tensor], card: dict[str, Any]) -> None:
    """Write the changed tensors with their card, and the card alone as .json beside them."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(contiguous, {CARD: json.dumps(card)}))
    write_atomically(path.with_suffix(".json"), (json.dumps(card, indent=2) + "\n").encode())


def read_finetuned(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and card of a file of `save_finetuned`.

    Raises:
        UserError: if it is damaged or something else.
    """
    with _opened(path) as file:
        card = json.loads((file.metadata() or {})[CARD])
        return {name: file.get_tensor(name) for name in file.keys()}, card  # noqa: SIM118 (not a dict)


def read_card(path: Path) -> dict[str, Any]:
    """The card of a file of `save_finetuned`, without its tensors.

    Raises:
        UserError: if the file is damaged or something else.
    """
    with _opened(path) as file:
        return json.loads((file.metadata() or {})[CARD])


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(
            f"fine-tuned weights {path} cannot be read ({str(error)[:80]}): "
            "make them again with `cdam-bench train lidc overwrite=true`"
        ) from error


class NoduleHead(nn.Linear):
    """The head of fine-tuned weights: the malignancy logit, or biomarkers in units of their spread over the training nodules.

    Args:
        in_features: D.
        names: of the outputs.
        output_kind: "labels" or "quantities".
    """

    def __init__(self, in_features: int, names: Sequence[str], output_kind: str) -> None:
        super().__init__(in_features, len(names))
        self.names, self.output_kind = tuple(names), output_kind


class FineTuned:
    """What `cdam-bench train lidc` made; in a configuration it stands for a head (backbone.head).

    Args:
        weights: file, looked up like a checkpoint.
        weights_dir: folder searched for it.
        task, split, fold: what it must have been trained for, so that no nodule is explained that was trained on; None: any.
        sha256: of the file, from an earlier `identity`: it must still hold.
    Raises:
        UserError: if the file is missing or for something else.
    """

    def __init__(
        self,
        weights: str,
        weights_dir: str | Path | None = None,
        task: str | None = None,
        split: str | None = None,
        fold: int | str | None = None,
        sha256: str | None = None,
    ) -> None:
        self.weights, self.sha256 = weights, sha256
        self.wanted = {
            name: value for name, value in (("task", task), ("split", split), ("fold", fold)) if value is not None
        }
        try:
            self.path = find_weights(weights, weights_dir)
        except UserError as error:
            raise UserError(f"{error}; fine-tuned weights are made by `cdam-bench train lidc`") from error

    def identity(self) -> dict[str, Any]:
        """What the head and the changed weights depend on."""
        found = file_digest(self.path)
        require(self.sha256 in (None, found), f"fine-tuned weights {self.path} have changed since")
        return {
            "_target_": f"{__name__}.{type(self).__name__}",
            "weights": self.weights,
            **self.wanted,
            "sha256": found,
        }

    def preprocessing(self, default: Preprocessing) -> GreyPreprocessing:
        """How any picture becomes an image as these weights know them: grey, in the size and with the mean and standard deviation
        of the training nodules. `default`, the backbone's own, was made for other pictures.
        """
        image = read_card(self.path)["image"]
        return GreyPreprocessing(image["size"], image["mean"], image["std"])

    def build(self, backbone: Backbone, preprocessing: Preprocessing) -> NoduleHead:
        """Put the changed tensors into the backbone's ViT, and return the head.

        Raises:
            UserError: if they were trained for another task or fold, or from another backbone.
        """
        tensors, card = read_finetuned(self.path)
        for name, value in self.wanted.items():
            require(
                card[name] == value,
                f"fine-tuned weights {self.path} are for {name}={card[name]}, not {value}: fine-tune with {name}={value}",
            )
        head = NoduleHead(tensors["head.weight"].shape[1], card["outputs"], OUTPUT_KINDS[card["task"]])
        head.load_state_dict({name.removeprefix("head."): tensors.pop(name) for name in HEAD})
        own = backbone.vit.state_dict()
        fits = all(name in own and own[name].shape == tensor.shape for name, tensor in tensors.items())
        require(
            fits
            and head.in_features == backbone.embed_dim
            and backbone.image_size == (card["image"]["size"],) * 2
            and kept_digest(backbone.vit, set(tensors)) == card["kept"],
            f"fine-tuned weights {self.path} started from another backbone ({card['backbone']}) than the one configured: "
            "give the same architecture, checkpoint and image_size",
        )
        with torch.no_grad():
            for name, tensor in tensors.items():
                own[name].copy_(tensor)
        return head
