"""`cdam_bench.explain`: maps of one picture for any targets and estimators."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from cdam_bench.backbones import Backbone
from cdam_bench.datasets import Preprocessing
from cdam_bench.drawing.style import rendered
from cdam_bench.errors import require
from cdam_bench.estimators import Estimator
from cdam_bench.explaining.figure import explanation_figure
from cdam_bench.explaining.named import Estimators, named_backbone, named_estimators
from cdam_bench.explaining.picture import Prepared, imagenet_preprocessing, prepare
from cdam_bench.explaining.targets import CLASSES, VALUES, Outputs, Target, describe, find_output, outputs_of, ranked
from cdam_bench.store.files import write_atomically

SHOWN_PREDICTIONS = 5
HEADINGS = {"concepts": "concept", "labels": "label", "quantities": "quantity"}  # of a table's names


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
        backbone: its name.
        signed: estimator → whether its maps can speak against a target; those not named can.
    """

    name: str
    pixels: np.ndarray
    targets: list[Target]
    maps: dict[str, dict[str, np.ndarray]]
    predictions: list[Target]
    notes: list[str] = field(default_factory=list)
    backbone: str = ""
    signed: dict[str, bool] = field(default_factory=dict)

    def plot(
        self, scale: str = "map", clip: float | None = None, style: str = "beside", colours: str = "RdBu_r"
    ) -> Figure:
        """A figure: the picture, a row per target, a column per estimator; evidence warm, counter-evidence cold, zero neutral.

        Methods whose maps cannot speak against a target have colours and a scale of their own.

        Args:
            scale: "map": the colours of each map end at its own largest |S|; "row": at the largest of its row.
            clip: quantile of |S| at which the colours end instead, as 0.99; None: the largest |S|.
            style: "beside" the picture, or "overlay" on it.
            colours: name of a diverging matplotlib colour map, for signed maps; the default can be told apart by the colour-blind.
        """
        return explanation_figure(self, scale, clip, style, colours)

    def save(self, folder: str | Path, settings: Mapping[str, Any] | None = None, **plot: Any) -> list[Path]:
        """Write <name>.png (the figure), <name>.npz (maps, keys "estimator/target") and <name>.json (what they are).

        Args:
            folder: made if need be; files of the same name are replaced.
            settings: how the maps were made, kept in the JSON file.
            plot: arguments of `plot`.
        Raises:
            UserError: for arguments of `plot` that cannot be; nothing is written.
        """
        folder = Path(folder)
        arrays = io.BytesIO()
        named: Any = {f"{estimator}/{name}": m for estimator, maps in self.maps.items() for name, m in maps.items()}
        np.savez_compressed(arrays, **named)
        about = {
            "picture": self.name,
            "backbone": self.backbone,
            "size": list(self.pixels.shape[:2]),
            "targets": [vars(target) for target in self.targets],
            "predictions": [vars(target) for target in self.predictions],
            "notes": self.notes,
            "figure": plot,
            "settings": dict(settings or {}),
        }
        content = {
            ".png": rendered(self.plot(**plot), "png"),
            ".npz": arrays.getvalue(),
            ".json": (json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(),
        }
        for suffix, data in content.items():
            write_atomically(folder / f"{self.name}{suffix}", data)
        return [folder / f"{self.name}{suffix}" for suffix in content]

    def table(self) -> str:
        """The most probable classes (or, where no class competes, the outputs' values) as text."""
        if not self.predictions:
            kinds = {target.kind for target in self.targets}
            heading, value = "output", "value"
            if len(kinds) == 1:
                (kind,) = kinds
                heading, value = HEADINGS[kind], VALUES[kind]
            width = max(len(heading), *(len(target.name) for target in self.targets))
            lines = [f"  {target.name:<{width}}  {target.output:10.3f}" for target in self.targets]
            return "\n".join([f"  {heading:<{width}}  {value:>10}", *lines])
        width = max(5, *(len(target.name) for target in self.predictions))
        lines = [
            f"  {rank:>4}  {target.name:<{width}}  {target.index:>5}  {100 * (target.probability or 0):>10.1f} %"
            for rank, target in enumerate(self.predictions, 1)
        ]
        return "\n".join([f"  rank  {'class':<{width}}  index  probability", *lines])

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return rendered(self.plot(), "png")


def explain(
    image: str | Path | Image.Image | Tensor,
    backbone: str | Backbone = "digits_vit",
    estimators: Estimators = "cdam",
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
        targets: indices, names, "predicted", "top1" …; one or several. Of a head without classes "predicted" means all outputs:
            concepts, labels, quantities.
        preprocessing: of the backbone; None: its configuration's, or for a Backbone object ImageNet's.
        image_size: side in pixels, cropped to a multiple of the patch size; "native": the picture's own size and shape, cropped
            likewise; None: the backbone's, as in the benchmark.
        names: of the classes; None: the head's own, ImageNet's where there are 1000, else their numbers.
        seed: of the noise.
    Raises:
        UserError: for pictures, names or sizes that cannot be, and for outputs or maps with NaN.
    """
    name = None
    if isinstance(backbone, str):
        name, (backbone, own) = backbone, named_backbone(backbone)
        preprocessing = own if preprocessing is None else preprocessing
    if preprocessing is None:
        preprocessing = imagenet_preprocessing(min(backbone.image_size))
    prepared = prepare(image, backbone, preprocessing, image_size, name)
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
        values = backbone.logits(images)[0].float().cpu()
    require(
        bool(values.isfinite().all()),
        f"picture {prepared.name}: {prepared.backbone_name} gives NaN or infinite outputs; are its weights damaged?",
    )
    outputs = outputs_of(backbone.head, len(values), names)
    ranking = ranked(values, outputs.num_classes)
    wanted = describe(_indices(targets, outputs, ranking), outputs, values)
    tensor, seeds = torch.tensor([[target.index for target in wanted]]), torch.tensor([seed])
    maps = {}
    for estimator, method in estimators.items():
        found = method.attribute(backbone, images, tensor, seeds)[0]
        require(
            bool(found.isfinite().all()),
            f"picture {prepared.name}: estimator {estimator} gives a map with NaN or infinite values",
        )
        maps[estimator] = {target.name: m for target, m in zip(wanted, found.cpu().numpy(), strict=True)}
    return Explanation(
        prepared.name,
        prepared.pixels,
        wanted,
        maps,
        describe(ranking[:SHOWN_PREDICTIONS], outputs, values),
        list(prepared.notes),
        prepared.backbone_name,
        {estimator: method.signed for estimator, method in estimators.items()},
    )


def _indices(targets: str | int | Sequence[str | int], outputs: Outputs, ranking: Sequence[int]) -> list[int]:
    """Indices of the outputs that targets mean."""
    listed = [targets] if isinstance(targets, str | int) else list(targets)
    require(bool(listed), "no target is given: name one, or use predicted")
    if CLASSES not in outputs.kinds and listed == ["predicted"]:
        return list(range(len(outputs.kinds)))
    return [find_output(target, outputs.names, ranking) for target in listed]
