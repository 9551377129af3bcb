"""`cdam-bench explain`: figures, maps and tables of a picture or a folder of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import nn
from tqdm import tqdm

from cdam_bench.backbones import Backbone, JoinedHeads
from cdam_bench.benchmark.targets import check_contrast, contrast_of
from cdam_bench.configs import build_backbone, build_preprocessing, choices, config_dir, instantiate, plain
from cdam_bench.datasets import Preprocessing
from cdam_bench.datasets.concepts import ConceptSource, warn_about_examples
from cdam_bench.datasets.pictures import PictureFile, is_picture, read_picture, some
from cdam_bench.drawing.style import rendered
from cdam_bench.errors import UserError, require, require_count, require_whole, unknown_name, with_prefix
from cdam_bench.explaining.attention import heads_figure, scatter_figure
from cdam_bench.explaining.explanation import Explanation, check_targets, explain_prepared
from cdam_bench.explaining.figure import check_settings, file_word
from cdam_bench.explaining.named import EXPLAIN
from cdam_bench.explaining.picture import Prepared, prepare
from cdam_bench.store.files import write_atomically

CONCEPT_KEYS = ("source", "imagenet_class", "count", "data_dir", "similarity", "save_as")


def explain_pictures(config: DictConfig) -> None:
    """Explain the pictures that `config` names, one figure each.

    Args:
        config: composed from conf/scripts/explain.yaml.
    Raises:
        UserError: for settings, models or targets that cannot be, before anything is written; of a folder's pictures that cannot be
            explained, when the others are, unless `skip` leaves them out or `fail_fast` stops at the first. A picture whose
            outputs or maps have NaN gets no files.
    """
    figure: dict[str, Any] = plain(config.figure)
    try:
        check_settings(**figure)
    except UserError as error:
        raise with_prefix(error, "figure") from error
    seed = require_whole("seed", config.seed)
    require(not (config.skip and config.fail_fast), "skip and fail_fast are both true: choose one")
    if config.runtime.batch_size != "auto":  # pictures are explained one by one; what is wrong is said all the same
        require_count("runtime.batch_size", config.runtime.batch_size)
    contrast = contrast_of(config)
    paths = find_pictures(config.image)
    estimators = chosen_estimators()
    targets = listed_targets(config)
    backbone, preprocessing = chosen_backbone(config, with_classes=config.concept is None or bool(targets))
    settings = {name: value for name, value in plain(config).items() if name != "estimator"}
    settings["estimators"] = estimators["settings"]
    if config.concept is not None:
        targets = [*targets, *_concept_head(backbone).names]
    check_targets(backbone, targets or "predicted", config.class_names)
    if contrast is not None:
        for method in estimators["methods"].values():
            check_contrast(contrast, method, backbone)
    backbone_name = str(config.backbone.get("name") or HydraConfig.get().runtime.choices["backbone"])
    failures: dict[Path, UserError] = {}
    for path in tqdm(paths, desc="explaining", unit="picture", disable=len(paths) == 1):
        try:
            prepared = prepare(path, backbone, preprocessing, config.image_size, backbone_name)
            warn_about_examples(
                _concept_head(backbone), [path.name], preprocessing(read_picture(PictureFile(path)))[None]
            )
            methods = estimators["methods"]
            explanation = explain_prepared(
                prepared, methods, targets or "predicted", config.class_names, seed, contrast
            )
        except UserError as error:
            if config.fail_fast or len(paths) == 1:
                raise
            failures[path] = error
            continue
        files = explanation.save(config.output_dir, settings, **figure)
        if config.scatter:
            files += _scatter_files(path, prepared, explanation, Path(config.output_dir))
        report(path, explanation, files)
    tell_failures(failures, len(paths), config.skip)


def _scatter_files(path: Path, prepared: Prepared, explanation: Explanation, folder: Path) -> list[Path]:
    """CDAM against attention, drawn beside the maps of a picture."""
    drawn = {"scatter": scatter_figure(prepared, explanation.targets)}
    drawn |= {f"heads_{target.name}": heads_figure(prepared, target) for target in explanation.targets}
    files = []
    for name, figure in drawn.items():
        files.append(folder / f"{path.stem}_{file_word(name)}.png")
        write_atomically(files[-1], rendered(figure, "png"))
    return files


def tell_failures(failures: Mapping[Path, UserError], total: int, skip: bool) -> None:
    """List the pictures of a folder that could not be explained.

    Args:
        failures: picture → why.
        total: number of pictures.
        skip: say it, and be content.
    Raises:
        UserError: with the list, unless `skip`; and where not one picture was explained.
    """
    if not failures:
        return
    pictures: dict[str, list[str]] = {}
    for path, error in failures.items():
        reason = str(error).replace(f"image {path} ", "").replace(f"picture {path.stem}: ", "")
        pictures.setdefault(reason, []).append(path.name)
    listed = "; ".join(f"{some(names)}: {reason}" for reason, names in pictures.items())
    line = f"{len(failures)} of {total} pictures could not be explained: {listed}"
    require(skip and len(failures) < total, line)
    tqdm.write(f"skipped: {line}")


def report(path: Path, explanation: Explanation, files: list[Path]) -> None:
    """Print what was predicted and where the figure is."""
    height, width = explanation.pixels.shape[:2]
    notes = "".join(f"\nnote: {note}" for note in explanation.notes)
    tqdm.write(f"{path}, explained at {height}×{width}{notes}\n{explanation.table()}\n  → {', '.join(map(str, files))}")


def find_pictures(image: str | None) -> list[Path]:
    """A picture file, or all of a folder, by name, with different stems.

    Raises:
        UserError: if there is none.
    """
    require(image is not None, "no picture is given: add image=picture.jpg, or image=folder/")
    path = Path(str(image))
    if not path.is_dir():
        require(path.is_file(), f"image {path} not found")
        return [path]
    paths = sorted(one for one in path.iterdir() if is_picture(one))
    require(bool(paths), f"image={path}: there is no picture in this folder")
    stems = [one.stem for one in paths]
    same = sorted({stem for stem in stems if stems.count(stem) > 1})
    require(
        not same, f"image={path}: several pictures are called {', '.join(same)}, and would overwrite each other's maps"
    )
    return paths


def chosen_estimators() -> dict[str, Any]:
    """Name → estimator ("methods") and its configuration ("settings") for estimator=name or estimator=[name, …].

    An argument on the command line (estimator.num_samples=10) goes to every listed estimator that has it.
    """
    settings, methods = {}, {}
    listed, known = _listed_estimators(), choices("estimator")
    require(bool(listed), "estimator=[]: name at least one")
    for name in listed:
        if name not in known:
            raise unknown_name("estimator", name, known)
        own = hydra.compose(f"estimator/{name}").estimator  # of the running command, with the user's own folder
        for override in HydraConfig.get().overrides.task:
            key, _, value = override.lstrip("+").partition("=")
            group, _, argument = key.partition(".")
            if group == "estimator" and (argument in own or override.startswith("+")):
                own = OmegaConf.merge(own, OmegaConf.from_dotlist([f"{argument}={value}"]))
        settings[name], methods[name] = plain(own), instantiate(own, "estimator")
    return {"settings": settings, "methods": methods}


def _listed_estimators() -> list[str]:
    """What the command line or the command's configuration lists; Hydra composes the list, but merges its files into one."""
    overrides = [one for one in HydraConfig.get().overrides.task if one.startswith("estimator=")]
    defaults = OmegaConf.load(config_dir() / f"{EXPLAIN}.yaml").defaults
    chosen = next(entry["/estimator"] for entry in defaults if "/estimator" in entry)
    if overrides:
        chosen = OmegaConf.from_dotlist(overrides[-1:]).estimator
    return [chosen] if isinstance(chosen, str) else [str(one) for one in chosen or ()]


def listed_targets(config: DictConfig) -> list[str]:
    """target (one or a list), then target2 … target5."""
    listed: list[str] = []
    for name in ("target", "target2", "target3", "target4", "target5"):
        value = config[name]
        if value is not None:
            listed += [str(one) for one in value] if OmegaConf.is_list(value) else [str(value)]
    return listed


def chosen_backbone(config: DictConfig, with_classes: bool) -> tuple[Backbone, Preprocessing]:
    """The backbone with its own head, with that of the concepts, or with both."""
    preprocessing = build_preprocessing(config)
    # what a head describes may belong to the ViT as well, as fine-tuned weights do
    needs_head = with_classes or isinstance(plain(config.backbone).get("head"), dict)
    backbone = build_backbone(config, None if needs_head else nn.Identity())
    if config.concept is None:
        return backbone, preprocessing
    given = plain(config.concept)
    arguments = given if isinstance(given, dict) else {"source": given}
    arguments = {"data_dir": config.paths.data_dir, "similarity": config.similarity, **arguments}
    for name in arguments:
        if name not in CONCEPT_KEYS:
            raise unknown_name("key", f"concept.{name}", (f"concept.{one}" for one in CONCEPT_KEYS))
    concepts = ConceptSource(**arguments).concepts(backbone, preprocessing)
    shown = ", ".join(concepts.names)
    require(
        bool(concepts.vectors.isfinite().all()),
        f"concepts {shown}: NaN or infinite vectors; are the weights of the backbone damaged?",
    )
    file = concepts.save(Path(config.output_dir) / "concepts" / f"{'_'.join(concepts.names)}.safetensors")
    tqdm.write(f"concepts {shown} → {file}")
    head = concepts.head(arguments["similarity"])
    return backbone.with_head(JoinedHeads(backbone.head, head) if with_classes else head), preprocessing


def _concept_head(backbone: Backbone) -> Any:
    return backbone.head.heads[-1] if isinstance(backbone.head, JoinedHeads) else backbone.head
