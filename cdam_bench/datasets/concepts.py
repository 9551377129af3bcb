"""Concepts: mean [CLS] latents of example pictures, as outputs to explain. Nothing is trained.

Source: Brocki et al. 2024, concepts (30 images of an ImageNet class, or about 10 free images).
"""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cdam_bench.backbones import Backbone, ConceptHead
from cdam_bench.backbones.heads import SIMILARITIES
from cdam_bench.datasets import Preprocessing
from cdam_bench.datasets.imagenet import find_validation_images
from cdam_bench.datasets.imagenet_classes import real_labels, synonyms, validation_names, wordnet_ids
from cdam_bench.datasets.pictures import PictureFile, check_pictures, is_picture, read_picture
from cdam_bench.errors import UserError, nearest_names, require

MIN_EXAMPLES = 2
BATCH_SIZE = 16


@dataclass(frozen=True)
class Concepts:
    """K concepts of one backbone.

    Args:
        names: K names.
        vectors: (K, D) mean latents.
        examples: digests of each concept's example images, as `digest_of` gives them.
        backbone: digest of the ViT they were made with.
    """

    names: tuple[str, ...]
    vectors: Tensor
    examples: tuple[tuple[str, ...], ...]
    backbone: str

    def head(self, similarity: str = "dot") -> ConceptHead:
        """The concepts as a head: one output each."""
        return ConceptHead(self.vectors, similarity, self.names, [digest for own in self.examples for digest in own])

    def save(self, path: str | Path) -> Path:
        """Write them as a .safetensors file, for `Concepts.load`."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"names": self.names, "examples": self.examples, "backbone": self.backbone}
        save_file({"vectors": self.vectors.contiguous()}, path, {"concepts": json.dumps(content)})
        return path

    @classmethod
    def load(cls, path: str | Path, backbone: Backbone) -> "Concepts":
        """Read a file of `save`.

        Raises:
            UserError: if it is missing, damaged, no concepts, or made with another ViT.
        """
        require(Path(path).is_file(), f"concepts {path} not found: give a folder of pictures or a .safetensors file")
        try:
            with safe_open(path, "pt") as file:
                content = json.loads(file.metadata()["concepts"])
                vectors = file.get_tensor("vectors")
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"concepts {path} cannot be read ({error}): make them again from their pictures") from error
        require(
            content["backbone"] == vit_digest(backbone),
            f"concepts {path} were made with another backbone: make them again from their pictures",
        )
        return cls(tuple(content["names"]), vectors, tuple(map(tuple, content["examples"])), content["backbone"])

    @classmethod
    def joined(cls, parts: Sequence["Concepts"]) -> "Concepts":
        """Several sets as one, in order.

        Raises:
            UserError: if two concepts have one name.
        """
        names = tuple(name for part in parts for name in part.names)
        twice = sorted({name for name in names if names.count(name) > 1})
        require(not twice, f"two concepts are called {', '.join(twice)}: rename a folder")
        vectors = torch.cat([part.vectors for part in parts])
        return cls(names, vectors, tuple(own for part in parts for own in part.examples), parts[0].backbone)

    @classmethod
    def of_images(cls, backbone: Backbone, images: Mapping[str, Tensor]) -> "Concepts":
        """From example images: name → (n, 3, H, W), normalised for the backbone.

        Raises:
            UserError: for a concept with fewer than 2 images.
        """
        last_latent = backbone.with_head(nn.Identity())  # whatever its class head reads besides
        vectors, examples = [], []
        for name, batch in images.items():
            check_count(name, len(batch))
            with torch.inference_mode():
                latents = torch.cat([last_latent.features(part).float().cpu() for part in batch.split(BATCH_SIZE)])
            vectors.append(latents.mean(0))
            examples.append(tuple(map(digest_of, batch)))
        return cls(tuple(images), torch.stack(vectors).clone(), tuple(examples), vit_digest(backbone))


def check_count(name: str, count: int) -> None:
    """Raise UserError unless `count` pictures are enough for a concept."""
    require(
        count >= MIN_EXAMPLES,
        f"concept {name} has {count} picture{'' if count == 1 else 's'}: a mean latent needs at least {MIN_EXAMPLES}",
    )


def digest_of(image: Tensor) -> str:
    """Digest of an image as the backbone gets it; equal for equal pictures, whatever their files are called."""
    return hashlib.sha256(image.cpu().contiguous().numpy().tobytes()).hexdigest()[:16]


def vit_digest(backbone: Backbone) -> str:
    """Digest of a ViT's first and last weights: tells one set of weights from another without reading all of them.

    Of models that are not one sequence of blocks, all weights are read.
    """
    digest, model = hashlib.sha256(), backbone.model
    has_blocks = all(hasattr(model, part) for part in ("patch_embed", "blocks", "norm"))
    for module in (model.patch_embed, model.blocks[-1], model.norm) if has_blocks else (model,):
        for parameter in module.state_dict().values():
            digest.update(parameter.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def folder_pictures(folder: str | Path) -> list[PictureFile]:
    """Picture files of a folder, by name."""
    require(Path(folder).is_dir(), f"concept folder {folder} not found: give a folder with pictures of the concept")
    return [PictureFile(path) for path in sorted(Path(folder).iterdir()) if is_picture(path)]


def class_index(name: str | int) -> int:
    """Index of an ImageNet class from its index, a name or its WordNet id.

    Raises:
        UserError: for an unknown name, with the nearest ones.
    """
    known: dict[str, int] = {}
    for index, (wordnet_id, names) in enumerate(zip(wordnet_ids(), synonyms(), strict=True)):
        for key in (str(index), wordnet_id, *names):
            known.setdefault(key.lower(), index)
    text = str(name).strip().lower()
    if text not in known:
        near = nearest_names(text, known)
        raise UserError(
            f"ImageNet class {name} is unknown: "
            + (f"did you mean {' or '.join(near)}?" if near else "give an index from 0 to 999 or a name")
        )
    return known[text]


def class_pictures(name: str | int, count: int, data_dir: str | Path) -> list[PictureFile]:
    """ILSVRC-2012 validation images that show an ImageNet class by their ReaL labels, in order of file name.

    Those that show nothing else come first; of many classes there are fewer than the paper's 30.

    Args:
        name: index, name or WordNet id of the class.
        count: how many.
        data_dir: where the validation images are, as for dataset=imagenet_random.
    Raises:
        UserError: if there are too few.
    """
    require(count >= MIN_EXAMPLES, f"concept.count={count}: a mean latent needs at least {MIN_EXAMPLES} pictures")
    index = class_index(name)
    showing = [
        (labels != [index], file)
        for file, labels in zip(validation_names(), real_labels(), strict=True)
        if index in labels
    ]
    require(
        len(showing) >= count, f"only {len(showing)} validation images show {name}: set concept.count={len(showing)}"
    )
    return find_validation_images(data_dir, [file for _, file in sorted(showing)[:count]])


class ConceptSource:
    """Where concepts come from; in a configuration it stands for a head (backbone/head=concept).

    Args:
        source: a folder of example pictures, a .safetensors file of `Concepts.save`, or a list of these.
        imagenet_class: instead of (or beside) `source`: an ImageNet class, or several.
        count: pictures of each ImageNet class; 30 in the paper.
        data_dir: where ImageNet is.
        similarity: "dot" (the paper), "cosine" or "neg_l2".
        save_as: .safetensors file to write the vectors to; None: none.
        sha256: of the examples, from an earlier `identity`: it must still hold.
    Raises:
        UserError: if there is nothing to make a concept from.
    """

    def __init__(
        self,
        source: str | Sequence[str] | None = None,
        imagenet_class: str | int | Sequence[str | int] | None = None,
        count: int = 30,
        data_dir: str | Path = "data",
        similarity: str = "dot",
        save_as: str | Path | None = None,
        sha256: str | None = None,
    ) -> None:
        self.sources = [str(one) for one in _listed(source)]
        self.classes = list(_listed(imagenet_class))
        require(
            bool(self.sources or self.classes),
            "no concept is given: name a folder of pictures, a .safetensors file of saved concepts, or an imagenet_class",
        )
        require(similarity in SIMILARITIES, f"similarity={similarity} is unknown: use one of {', '.join(SIMILARITIES)}")
        self.count, self.data_dir, self.similarity = count, data_dir, similarity
        self.save_as, self.sha256 = save_as, sha256

    @cached_property
    def pictures(self) -> dict[str, list[PictureFile]]:
        """Name of each concept that is made from pictures → its pictures, all of them readable."""
        found = [
            (Path(source).resolve().name, folder_pictures(source)) for source in self.sources if not _saved(source)
        ]
        found += [
            (synonyms()[class_index(name)][0], class_pictures(name, self.count, self.data_dir)) for name in self.classes
        ]
        names = [name for name, _ in found]
        require(len(set(names)) == len(names), f"two concepts have one name ({', '.join(names)}): rename a folder")
        for name, files in found:
            check_count(name, len(files))
            check_pictures(files)
        return dict(found)

    def identity(self) -> dict[str, Any]:
        """What the head depends on beside the ViT: its settings, and a digest of the examples' files."""
        digest = hashlib.sha256()
        for source in filter(_saved, self.sources):
            require(Path(source).is_file(), f"concepts {source} not found")
        files = [PictureFile(Path(source)) for source in filter(_saved, self.sources)]
        for file in [file for own in self.pictures.values() for file in own] + files:
            with file.open() as content:
                digest.update(hashlib.sha256(content.read()).digest())
        found = digest.hexdigest()
        require(
            self.sha256 in (None, found),
            f"the examples of the concepts {', '.join(map(str, self.sources + self.classes))} have changed since",
        )
        settings = {
            "source": self.sources,
            "imagenet_class": self.classes,
            "count": self.count,
            "similarity": self.similarity,
        }
        return {"_target_": f"{__name__}.{type(self).__name__}", **settings, "sha256": found}

    def concepts(self, backbone: Backbone, preprocessing: Preprocessing) -> Concepts:
        """The vectors: computed from pictures, or read."""
        if self.sha256 is not None:
            self.identity()
        parts = [Concepts.load(source, backbone) for source in self.sources if _saved(source)]
        for name, files in self.pictures.items():
            images = torch.stack([preprocessing(read_picture(file)) for file in files])
            parts.append(Concepts.of_images(backbone, {name: images}))
        concepts = Concepts.joined(parts)
        if self.save_as is not None:
            concepts.save(self.save_as)
        return concepts

    def build(self, backbone: Backbone, preprocessing: Preprocessing) -> ConceptHead:
        """The concepts as a head for `backbone`."""
        return self.concepts(backbone, preprocessing).head(self.similarity)


def _listed(value: Any) -> Sequence[Any]:
    """One or several, as a list."""
    if value is None:
        return []
    return [value] if isinstance(value, str | int | Path) else list(value)


def _saved(source: str) -> bool:
    return source.endswith(".safetensors")


def warn_about_examples(head: nn.Module, names: Sequence[str], images: Tensor) -> list[str]:
    """Say on stderr which of the images (B, 3, H, W) are examples of the head's concepts; their names are returned."""
    known = getattr(head, "examples", frozenset())
    same = [name for name, image in zip(names, images, strict=True) if digest_of(image) in known] if known else []
    if same:
        print(
            f"warning: {', '.join(same)}: explained, and also an example the concept is made from; its map flatters the concept",
            file=sys.stderr,
        )
    return same
