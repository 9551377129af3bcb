"""`cdam_bench.explain`: maps of one picture for any targets and estimators."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import functional as F

from cdam_bench.backbones import Backbone, ConceptHead, JoinedHeads, load_backbone
from cdam_bench.configs import config_dir
from cdam_bench.datasets import Preprocessing
from cdam_bench.datasets.pictures import PictureFile, read_picture, to_rgb
from cdam_bench.errors import UserError, nearest_names, require
from cdam_bench.estimators import Estimator
from cdam_bench.explaining.targets import Names, Target, class_names, describe, find_output, ranked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_PREDICTIONS = 5
MAX_PATCHES = 20_000  # attention grows with their square
NATIVE = "native"


@dataclass(frozen=True)
class Explanation:
    """Maps of one picture.

    Args:
        name: of the picture.
        pixels: (H, W, 3) in [0, 1], as the backbone saw it.
        targets: what was explained.
        maps: estimator → name of the target → (H, W) float32.
        predictions: the five most probable classes, best first; none without a class head.
        notes: what was done to the picture, and other things to know.
    """

    name: str
    pixels: np.ndarray
    targets: list[Target]
    maps: dict[str, dict[str, np.ndarray]]
    predictions: list[Target]
    notes: list[str] = field(default_factory=list)

    def plot(
        self, scale: str = "map", clip: float | None = None, style: str = "beside", colours: str = "RdBu_r"
    ) -> "Figure":
        """A figure: the picture, a row per target, a column per estimator; evidence warm, counter-evidence cold, zero neutral.

        Args:
            scale: "map": the colours of each map end at its own largest |S|; "row": at the largest of its row.
            clip: quantile of |S| at which the colours end instead, as 0.99; None: the largest |S|.
            style: "beside" the picture, or "overlay" on it.
            colours: name of a diverging matplotlib colour map; the default can be told apart by the colour-blind.
        """
        from cdam_bench.explaining.figure import explanation_figure

        return explanation_figure(self, scale, clip, style, colours)

    def save(self, folder: str | Path, settings: Mapping[str, Any] | None = None, **plot: Any) -> list[Path]:
        """Write <name>.png (the figure), <name>.npz (maps, keys "estimator/target") and <name>.json (what they are).

        Args:
            folder: made if need be; files of the same name are replaced.
            settings: how the maps were made, kept in the JSON file.
            plot: arguments of `plot`.
        """
        from cdam_bench.explaining.figure import png_bytes
        from cdam_bench.store.files import write_atomically

        folder = Path(folder)
        arrays = io.BytesIO()
        named = {f"{estimator}/{name}": m for estimator, maps in self.maps.items() for name, m in maps.items()}
        np.savez_compressed(arrays, **named)
        about = {
            "picture": self.name,
            "size": list(self.pixels.shape[:2]),
            "targets": [vars(target) for target in self.targets],
            "predictions": [vars(target) for target in self.predictions],
            "notes": self.notes,
            "figure": plot,
            "settings": dict(settings or {}),
        }
        content = {
            ".png": png_bytes(self.plot(**plot)),
            ".npz": arrays.getvalue(),
            ".json": (json.dumps(about, indent=2, ensure_ascii=False) + "\n").encode(),
        }
        for suffix, data in content.items():
            write_atomically(folder / f"{self.name}{suffix}", data)
        return [folder / f"{self.name}{suffix}" for suffix in content]

    def table(self) -> str:
        """The most probable classes (or, without a class head, the similarities) as text."""
        if not self.predictions:
            width = max(len(target.name) for target in self.targets)
            lines = [f"  {target.name:<{width}}  {target.output:10.3f}" for target in self.targets]
            return "\n".join([f"  {'concept':<{width}}  similarity", *lines])
        width = max(5, *(len(target.name) for target in self.predictions))
        lines = [
            f"  {rank:>4}  {target.name:<{width}}  {target.index:>5}  {100 * (target.probability or 0):>10.1f} %"
            for rank, target in enumerate(self.predictions, 1)
        ]
        return "\n".join([f"  rank  {'class':<{width}}  index  probability", *lines])

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        from cdam_bench.explaining.figure import png_bytes

        return png_bytes(self.plot())


@dataclass(frozen=True)
class Prepared:
    """A picture ready for a backbone.

    Args:
        name: of the picture.
        image: (3, H, W), normalised.
        pixels: (H, W, 3) in [0, 1].
        backbone: for images of that size.
        notes: what was done to the picture.
    """

    name: str
    image: Tensor
    pixels: np.ndarray
    backbone: Backbone
    notes: list[str]


def explain(
    image: str | Path | Image.Image | Tensor,
    backbone: str | Backbone = "digits_vit",
    estimators: str | Estimator | Sequence[str | Estimator] | Mapping[str, Estimator] = "cdam",
    targets: str | int | Sequence[str | int] = "predicted",
    *,
    preprocessing: Preprocessing | None = None,
    image_size: int | str | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> Explanation:
    """Explain one picture.

    Args:
        image: a file, a PIL picture, or (3, H, W) with values in [0, 1].
        backbone: a Backbone, or the name of one in conf/backbone.
        estimators: objects, or names of conf/estimator; one or several.
        targets: indices, names, "predicted", "top1" …; one or several. With a ConceptHead also "predicted" means all concepts.
        preprocessing: of the backbone; None: its configuration's, or for a Backbone object ImageNet's.
        image_size: side in pixels, cropped to a multiple of the patch size; "native": the picture's own size and shape, cropped
            likewise; None: the backbone's, as in the benchmark.
        names: of the classes; None: ImageNet's where there are 1000, else their numbers.
        seed: of the noise.
    Raises:
        UserError: for pictures, names or sizes that cannot be.
    """
    if isinstance(backbone, str):
        backbone, own = named_backbone(backbone)
        preprocessing = own if preprocessing is None else preprocessing
    if preprocessing is None:
        preprocessing = imagenet_preprocessing(min(backbone.image_size))
    prepared = prepare(image, backbone, preprocessing, image_size)
    return explain_prepared(prepared, named_estimators(estimators), targets, names, seed)


def explain_prepared(
    prepared: Prepared,
    estimators: Mapping[str, Estimator],
    targets: str | int | Sequence[str | int] = "predicted",
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> Explanation:
    """As `explain`, for a picture from `prepare` and estimators by name."""
    backbone, images = prepared.backbone, prepared.image[None]
    with torch.inference_mode():
        outputs = backbone.logits(images)[0].cpu()
    num_classes, all_names = output_names(backbone.head, len(outputs), names)
    ranking = ranked(outputs, num_classes)
    listed = [targets] if isinstance(targets, str | int) else list(targets)
    require(bool(listed), "no target is given: name one, or use predicted")
    if num_classes == 0 and listed == ["predicted"]:
        indices = list(range(len(outputs)))
    else:
        indices = [find_output(target, all_names, ranking) for target in listed]
    wanted = describe(indices, all_names, outputs, num_classes)
    tensor, seeds = torch.tensor([[target.index for target in wanted]]), torch.tensor([seed])
    maps = {}
    for estimator, method in estimators.items():
        values = method.attribute(backbone, images, tensor, seeds)[0].cpu().numpy()
        maps[estimator] = {target.name: m for target, m in zip(wanted, values, strict=True)}
    return Explanation(
        prepared.name,
        prepared.pixels,
        wanted,
        maps,
        describe(ranking[:SHOWN_PREDICTIONS], all_names, outputs, num_classes),
        list(prepared.notes),
    )


def output_names(head: nn.Module, count: int, names: Sequence[str] | None = None) -> tuple[int, Names]:
    """How many of a head's outputs are classes, and the names of all of them.

    Args:
        head: a class head, a ConceptHead, or JoinedHeads of both, classes first.
        count: outputs of the head.
        names: of the classes, if known.
    """
    parts = list(head.heads) if isinstance(head, JoinedHeads) else [head]
    concepts = [name for part in parts if isinstance(part, ConceptHead) for name in part.names]
    num_classes = count - len(concepts)
    require(
        names is None or len(names) == num_classes,
        f"{len(names or ())} class names for a head with {num_classes} classes",
    )
    known = class_names(num_classes) if names is None else [(name,) for name in names]
    return num_classes, [*known, *((name,) for name in concepts)]


def prepare(
    image: str | Path | Image.Image | Tensor,
    backbone: Backbone,
    preprocessing: Preprocessing,
    image_size: int | str | None = None,
) -> Prepared:
    """Read, resize, crop and normalise a picture; see `explain` for the arguments."""
    name, picture = "picture", image
    if isinstance(image, str | Path):
        name, picture = Path(image).stem, read_picture(PictureFile(Path(image)))
    elif isinstance(image, Image.Image):
        picture = to_rgb(image)
    normal, notes = preprocessing, []
    if image_size is not None:
        picture, notes = _resized(picture, image_size, backbone.patch_size, preprocessing)
        width, height = F.get_image_size(picture)
        tensor = F.to_tensor(picture) if isinstance(picture, Image.Image) else picture
        tensor = F.normalize(tensor, list(normal.mean), list(normal.std))
    else:
        tensor = normal(picture)
        height, width = tensor.shape[-2:]
    patches = (height // backbone.patch_size) * (width // backbone.patch_size)
    require(
        patches <= MAX_PATCHES,
        f"{name} is {height}×{width}: {patches} patches are too many; set image_size to a smaller side, as "
        f"{int(MAX_PATCHES**0.5) * backbone.patch_size}",
    )
    pixels = normal.to_pixels(tensor).permute(1, 2, 0).numpy()
    return Prepared(name, tensor, pixels, backbone.with_image_size((height, width)), notes)


def _resized(
    picture: Image.Image | Tensor, image_size: int | str, patch: int, preprocessing: Preprocessing
) -> tuple[Image.Image | Tensor, list[str]]:
    """The picture at that size, cropped to whole patches around its centre, and a note if that took something away."""
    if image_size != NATIVE:
        try:
            side = int(image_size)
        except (TypeError, ValueError):
            raise UserError(f"image_size={image_size}: give a number of pixels, or native") from None
        require(side >= patch, f"image_size={image_size}: must be at least one patch of {patch} pixels")
        picture = F.resize(picture, [side], preprocessing.interpolation, antialias=True)
        width = height = side
    else:
        width, height = F.get_image_size(picture)
    fitted = (height // patch * patch, width // patch * patch)
    require(min(fitted) > 0, f"a picture of {height}×{width} pixels is smaller than one patch of {patch}")
    note = f"cropped from {height}×{width} to {fitted[0]}×{fitted[1]}: the patch size is {patch}"
    return F.center_crop(picture, list(fitted)), [note] if fitted != (height, width) else []


def imagenet_preprocessing(image_size: int) -> Preprocessing:
    """ImageNet's: the shorter side to 256/224 of the image size, the centre cropped."""
    return Preprocessing(image_size, resize=round(image_size * 256 / 224))


def named_backbone(name: str, weights_dir: str | Path = "weights") -> tuple[Backbone, Preprocessing]:
    """The backbone of conf/backbone/<name>.yaml, with its preprocessing."""
    known = sorted(path.stem for path in (config_dir() / "backbone").glob("*.yaml"))
    _require_known("backbone", name, known)
    settings = OmegaConf.create({"backbone": OmegaConf.load(config_dir() / "backbone" / f"{name}.yaml")})
    arguments = OmegaConf.to_container(settings, resolve=True)["backbone"]
    preprocessing = instantiate(arguments.pop("preprocessing"))
    for about in ("source", "licence"):
        arguments.pop(about, None)
    return load_backbone(**arguments, weights_dir=weights_dir), preprocessing


def named_estimators(
    estimators: str | Estimator | Sequence[str | Estimator] | Mapping[str, Estimator],
) -> dict[str, Estimator]:
    """Estimators by name: from names in conf/estimator, or objects, which are called as the configuration of their class."""
    if isinstance(estimators, Mapping):
        return dict(estimators)
    found: dict[str, Estimator] = {}
    for one in [estimators] if isinstance(estimators, str | Estimator) else estimators:
        if isinstance(one, str):
            _require_known("estimator", one, list(_estimator_configs()))
            name, method = one, instantiate(_estimator_configs()[one])
        else:
            names = {config["_target_"].rpartition(".")[2]: name for name, config in _estimator_configs().items()}
            name, method = names.get(type(one).__name__, type(one).__name__), one
        while name in found:
            name += "_"
        found[name] = method
    require(bool(found), "no estimator is given")
    return found


@lru_cache
def _estimator_configs() -> dict[str, dict[str, Any]]:
    paths = sorted((config_dir() / "estimator").glob("*.yaml"))
    return {path.stem: OmegaConf.to_container(OmegaConf.load(path)) for path in paths}


def _require_known(what: str, name: str, known: Sequence[str]) -> None:
    near = nearest_names(name, known)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    require(name in known, f"{what}={name} is unknown: {hint}available: {', '.join(known)}")
