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
from torch import Tensor, nn

from cdam_bench.backbones import Backbone
from cdam_bench.backbones.contrast import Contrast
from cdam_bench.benchmark.targets import check_contrast
from cdam_bench.datasets import Preprocessing
from cdam_bench.drawing.style import rendered
from cdam_bench.errors import require
from cdam_bench.estimators import Estimator
from cdam_bench.explaining.figure import MAPS, explanation_figure, file_word, plain_maps, png_of
from cdam_bench.explaining.models import given_model, left_as_it_was
from cdam_bench.explaining.named import Estimators, named_estimators
from cdam_bench.explaining.picture import Prepared, prepare
from cdam_bench.explaining.targets import (
    CLASSES,
    VALUES,
    Outputs,
    Target,
    as_list,
    describe,
    find_output,
    outputs_of,
    ranked,
)
from cdam_bench.store.files import write_atomically

SHOWN_PREDICTIONS = 5
MOST_OUTPUTS = 50  # of a head without classes that are explained unasked
OF_NONE = 3  # classes that are explained where targets=None
Targets = str | int | Sequence[str | int] | np.ndarray | Tensor | None
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

    def heat_maps(
        self, scale: str = "map", clip: float | None = None, colours: str = "RdBu_r"
    ) -> dict[str, dict[str, np.ndarray]]:
        """The maps in their colours and nothing else: estimator → name of the target → (H, W, 3), 8-bit.

        Args:
            scale, clip, colours: as of `plot`.
        """
        return plain_maps(self, scale, clip, colours)

    def save(self, folder: str | Path, settings: Mapping[str, Any] | None = None, **plot: Any) -> list[Path]:
        """Write <name>.png (the figure), <name>.npz (maps, keys "estimator/target") and <name>.json (what they are).

        Args:
            folder: made if need be; files of the same name are replaced.
            settings: how the maps were made, kept in the JSON file.
            plot: arguments of `plot`; style="maps" writes <name>_<estimator>_<target>.png, the `heat_maps`, instead of the figure.
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
        content = self._drawn(**plot) | {
            ".npz": arrays.getvalue(),
            ".json": (json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(),
        }
        for suffix, data in content.items():
            write_atomically(folder / f"{self.name}{suffix}", data)
        return [folder / f"{self.name}{suffix}" for suffix in content]

    def _drawn(self, **plot: Any) -> dict[str, bytes]:
        """Ends of file names → pictures: the figure, or every map."""
        if plot.get("style") != MAPS:
            return {".png": rendered(self.plot(**plot), "png")}
        settings = {name: value for name, value in plot.items() if name != "style"}
        files: dict[str, bytes] = {}
        for estimator, maps in self.heat_maps(**settings).items():
            for target in self.targets:
                end = f"_{file_word(estimator)}_{file_word(target.name)}"
                end = f"{end}.png" if f"{end}.png" not in files else f"{end}_{target.index}.png"
                files[end] = png_of(maps[target.name])
        return files

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
    image: str | Path | Image.Image | np.ndarray | Tensor,
    backbone: str | Path | Backbone | nn.Module = "digits_vit",
    estimators: Estimators = "cdam",
    targets: Targets = "predicted",
    *,
    preprocessing: Preprocessing | None = None,
    image_size: int | str | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
    contrast: Contrast | None = None,
) -> Explanation:
    """Explain one picture.

    Args:
        image: a file, a PIL picture, a NumPy array (H, W) or (H, W, 3), or a tensor (3, H, W): with 8-bit values, or floats in
            [0, 1] that are not normalised yet.
        backbone: a Backbone; a model of timm or of Hugging Face, which is left as it is; the name of a configuration in
            conf/backbone or of a timm model (with its published weights); a folder of Hugging Face's layout, or an id of its hub.
        estimators: objects, or names of conf/estimator; one or several.
        targets: indices, names, "predicted", "top1" …; one or several; None: the three most probable classes. Of a head without
            classes "predicted" and None mean all outputs: concepts, labels, quantities.
        preprocessing: of the backbone; None: its own, or ImageNet's where it brings none.
        image_size: side in pixels, cropped to a multiple of the patch size; "native": the picture's own size and shape, cropped
            likewise; None: the backbone's, as in the benchmark.
        names: of the classes; None: the model's own, ImageNet's where there are 1000, else their numbers.
        seed: of the noise.
        contrast: explain what speaks for a target more than for the outputs most like it; None: the target's output.
    Raises:
        UserError: for pictures, models, names or sizes that cannot be, and for outputs or maps with NaN.
    """
    methods = named_estimators(estimators)
    with left_as_it_was(backbone):
        model = given_model(backbone)
        preprocessing = model.preprocessing if preprocessing is None else preprocessing
        prepared = prepare(image, model.backbone, preprocessing, image_size, model.name)
        return explain_prepared(prepared, methods, targets, names, seed, contrast)


def explain_prepared(
    prepared: Prepared,
    estimators: Mapping[str, Estimator],
    targets: Targets = "predicted",
    names: Sequence[str] | None = None,
    seed: int = 0,
    contrast: Contrast | None = None,
) -> Explanation:
    """As `explain`, for a picture from `prepare` and estimators by name."""
    backbone, images = prepared.backbone, prepared.image[None]
    with torch.inference_mode():
        values = backbone.logits(images)[0].float().cpu()
    require(
        bool(values.isfinite().all()),
        f"picture {prepared.name}: {prepared.backbone_name} gives NaN or infinite outputs; are its weights damaged?",
    )
    outputs = outputs_of(backbone.head, len(values), names, getattr(backbone, "class_names", None))
    ranking = ranked(values, outputs.num_classes)
    notes = list(prepared.notes)
    if targets is None and ranking:
        targets = ranking[:OF_NONE]
        notes.append(f"no target was given: the {len(targets)} most probable classes are explained")
    wanted = describe(_indices(targets, outputs, ranking), outputs, values)
    tensor, seeds = torch.tensor([[target.index for target in wanted]]), torch.tensor([seed])
    if contrast is not None:
        for method in estimators.values():
            check_contrast(contrast, method, backbone)
        backbone, tensor = contrast.applied(backbone, values[None], tensor)
        notes.append(f"maps explain a contrast: {contrast.words}")
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
        notes,
        prepared.backbone_name,
        {estimator: method.signed for estimator, method in estimators.items()},
    )


def check_targets(backbone: Backbone, targets: Targets, names: Sequence[str] | None = None) -> None:
    """Raise UserError for targets, or names of classes, that no picture can have; before the first one is explained."""
    count = backbone.num_classes
    outputs = outputs_of(backbone.head, count, names, getattr(backbone, "class_names", None))
    _indices(targets, outputs, range(outputs.num_classes))


def _indices(targets: Targets, outputs: Outputs, ranking: Sequence[int]) -> list[int]:
    """Indices of the outputs that targets mean."""
    listed = ["predicted"] if targets is None else as_list(targets)
    if CLASSES not in outputs.kinds and listed == ["predicted"]:
        count = len(outputs.kinds)
        require(
            count <= MOST_OUTPUTS, f"the model has {count} outputs but no classes: give the targets by index or name"
        )
        return list(range(count))
    return [find_output(target, outputs.names, ranking) for target in listed]
