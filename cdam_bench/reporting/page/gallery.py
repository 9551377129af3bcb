"""The gallery: chosen images with their targets and the maps of all estimators, made again."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
from hydra.errors import InstantiationException
from omegaconf import DictConfig

from cdam_bench.datasets import Sample
from cdam_bench.drawing.grids import Explained
from cdam_bench.drawing.maps import palette_of
from cdam_bench.drawing.names import display_name
from cdam_bench.errors import UserError, one_line
from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.reporting.page.choosing import HOW, Chosen, affordable
from cdam_bench.reporting.page.pictures import (
    PICTURE,
    THUMBNAIL,
    THUMBNAIL_QUALITY,
    Pictures,
    jpeg,
    map_png,
    outline_png,
    scale_png,
)
from cdam_bench.reporting.page.plain import Plain, numbers
from cdam_bench.reporting.recompute import Rebuilt, explained_image, is_signed
from cdam_bench.store.results import CellResult

AT_ONCE = 8  # images explained together
LATE = (
    3  # times the planned seconds, after which no further method is begun: where cells were timed on a faster machine
)


def show_pictures(
    comparison: Comparison,
    chosen: Sequence[Chosen],
    thumbnails: Sequence[str],
    seconds: float,
    paths: DictConfig,
    runtime: DictConfig,
) -> Pictures:
    """Pictures of a comparison; where its weights or data are not here, a line that says so and nothing else.

    Args:
        comparison: from `read_comparisons`.
        chosen: images of the gallery; none: no gallery.
        thumbnails: names of the images that get a small picture.
        seconds: that maps may take.
        paths, runtime: where data and weights are and what computes the maps.
    """
    found = Pictures()
    counts = affordable({cell.key.estimator: _cost(cell) for cell in comparison.cells}, len(chosen), seconds)
    asked, chosen = len(chosen), chosen[: max([1, *counts.values()])]
    try:
        rebuilt = Rebuilt(comparison, paths, runtime)
        names = [comparison.images[one.place] for one in chosen]
        samples = {sample.image_id: sample for sample in rebuilt.named(list(dict.fromkeys([*names, *thumbnails])))}
        for name in thumbnails:
            found.thumbnails[name] = jpeg(rebuilt.pixels(samples[name]), THUMBNAIL, THUMBNAIL_QUALITY)
        if chosen:
            _Gallery(rebuilt, chosen, [samples[name] for name in names], asked).show(counts, seconds, found)
    except (UserError, OSError, InstantiationException) as error:
        found.problems.append(f"no pictures of {comparison.title}: {one_line(error)}")
    return found


class _Gallery:
    """Maps of the chosen images.

    Args:
        rebuilt: the comparison's backbone and dataset.
        chosen: images.
        samples: the same, read.
        asked: how many images were asked for.
    """

    def __init__(self, rebuilt: Rebuilt, chosen: Sequence[Chosen], samples: list[Sample], asked: int) -> None:
        self.rebuilt, self.chosen, self.asked = rebuilt, chosen, asked
        self.cells = rebuilt.comparison.cells
        self.scenes = [rebuilt.scene(samples[i : i + AT_ONCE]) for i in range(0, len(samples), AT_ONCE)]
        self.patch = rebuilt.backbone.patch_size
        self.maps: dict[str, list[list[str]]] = {}  # estimator → of each of the first images, a picture per target
        self.signed: dict[str, bool] = {}
        self.untold: dict[str, str] = {}

    def show(self, counts: Mapping[str, int], seconds: float, found: Pictures) -> None:
        """Make the maps of so many of the first images with each method and put the gallery into `found`."""
        begun = time.thread_time()
        for cell in sorted(self.cells, key=_cost):
            name = cell.key.estimator
            count = counts[name] if time.thread_time() - begun <= LATE * seconds else 0
            if count < len(self.chosen):
                made = f"maps of {count} of {len(self.chosen)} images" if count else "no maps"
                self.untold[name] = f"{made}: those of an image took {_cost(cell):.2g} s"
            try:
                self._explain(cell, count)
            except Exception as error:  # whatever may go wrong in a class of one's own: the others keep their maps
                self.untold[name] = one_line(error)
                told = f"no maps of {display_name(name)} on {self.rebuilt.comparison.title}: {one_line(error)}"
                found.problems.append(told)
        found.gallery = self._values()

    def _explain(self, cell: CellResult, count: int) -> None:
        """Pictures of an estimator's maps of the first `count` images."""
        estimator = self.rebuilt.estimator(cell)
        palette = palette_of(is_signed(estimator))
        pictures: list[list[str]] = []
        for scene in self.scenes:
            if len(pictures) < count:
                maps = self.rebuilt.maps(estimator, scene.first(count - len(pictures))).astype(np.float64)
                pictures += [[map_png(own, palette, self.patch) for own in of_image] for of_image in maps]
        if pictures:
            self.maps[cell.key.estimator], self.signed[cell.key.estimator] = pictures, is_signed(estimator)

    def _values(self) -> Plain:
        order = [cell.key.estimator for cell in self.cells]
        fewer = f" Maps of {len(self.chosen)} of {self.asked} images fitted into the time for them."
        height, width = self.scenes[0].batch.images.shape[-2:]
        return {
            "how": HOW + (fewer if len(self.chosen) < self.asked else ""),
            "shown": len(self.chosen),
            "of": len(self.rebuilt.comparison.images),
            "width": width,
            "height": height,
            "signed": {name: self.signed[name] for name in order if name in self.maps},
            "scales": [scale for scale in map(self._scale, (True, False)) if scale["estimators"]],
            "untold": [{"estimator": name, "why": self.untold[name]} for name in order if name in self.untold],
            "images": [self._image(i, one) for i, one in enumerate(self.chosen)],
        }

    def _scale(self, signed: bool) -> Plain:
        palette = palette_of(signed)
        names = [cell.key.estimator for cell in self.cells]
        return {
            "ends": list(palette.ends),
            "uri": scale_png(palette),
            "estimators": [name for name in names if name in self.maps and self.signed[name] == signed],
        }

    def _image(self, i: int, one: Chosen) -> Plain:
        image = explained_image(self.scenes[i // AT_ONCE], i % AT_ONCE, {}, {})
        whole = image.mask is None or not image.mask.any() or bool(image.mask.all())
        return {
            "image": one.place,
            "why": one.why,
            "picture": jpeg(image.pixels, PICTURE),
            "targets": [_target(image, k) for k in range(len(image.targets))],
            "outline": None if whole or image.mask is None else outline_png(image.mask),
            "maps": {name: own[i] for name, own in self.maps.items() if i < len(own)},
        }


def _target(image: Explained, k: int) -> Plain:
    box = None if image.boxes is None or len(image.boxes) <= k else numbers(image.boxes[k])
    return {"name": image.targets[k], "value": image.value(k), "box": box}


def _cost(cell: CellResult) -> float:
    """Seconds that the maps of an image took; 0 where nobody knows."""
    return float(cell.description.get("explaining", {}).get("seconds_per_image", 0.0))
