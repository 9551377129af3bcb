"""scripts/explain.py: figures, maps and tables of a picture or a folder of them."""

import sys
from pathlib import Path
from typing import Any

import torch
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn
from tqdm import tqdm

from cdam_bench.backbones import Backbone, JoinedHeads, load_backbone
from cdam_bench.cli.app import run
from cdam_bench.configs import config_dir
from cdam_bench.datasets import Preprocessing
from cdam_bench.datasets.concepts import ConceptSource, warn_about_examples
from cdam_bench.datasets.pictures import PictureFile, check_pictures, is_picture, read_picture
from cdam_bench.errors import require
from cdam_bench.estimators import Estimator
from cdam_bench.explaining.attention import heads_figure, scatter_figure
from cdam_bench.explaining.explanation import Explanation, explain_prepared, prepare
from cdam_bench.explaining.figure import png_bytes
from cdam_bench.store.files import write_atomically

CONFIG = "explain"


def main() -> None:
    """`python scripts/explain.py`."""
    # concept is a path, a list or a group of settings; Hydra merges keys into what is null only with a plus
    sys.argv = [f"+{one}" if one.startswith("concept.") else one for one in sys.argv]
    run(explain_pictures, CONFIG)


def explain_pictures(config: DictConfig) -> None:
    """Explain the pictures that `config` names, one figure each.

    Args:
        config: composed from conf/explain.yaml.
    Raises:
        UserError: for settings, pictures or targets that cannot be; pictures are checked before anything is written.
    """
    paths = find_pictures(config.image)
    estimators = chosen_estimators()
    targets = listed_targets(config)
    backbone, preprocessing = chosen_backbone(config, with_classes=config.concept is None or bool(targets))
    figure: dict[str, Any] = OmegaConf.to_container(config.figure)
    settings = {
        name: value for name, value in OmegaConf.to_container(config, resolve=True).items() if name != "estimator"
    }
    settings["estimators"] = estimators["settings"]
    if config.concept is not None:
        targets = [*targets, *_concept_names(backbone)]
    for path in tqdm(paths, desc="explaining", unit="picture", disable=len(paths) == 1):
        warn_about_examples(_concept_head(backbone), [path.name], preprocessing(read_picture(PictureFile(path)))[None])
        prepared = prepare(path, backbone, preprocessing, config.image_size)
        explanation = explain_prepared(
            prepared, estimators["methods"], targets or "predicted", config.class_names, config.seed
        )
        files = explanation.save(config.output_dir, settings, **figure)
        if config.scatter:
            extra = {"scatter": scatter_figure(prepared, explanation.targets)}
            extra |= {f"heads_{target.name}": heads_figure(prepared, target) for target in explanation.targets}
            for name, drawn in extra.items():
                files.append(Path(config.output_dir) / f"{path.stem}_{name.replace(' ', '_').replace('/', '_')}.png")
                write_atomically(files[-1], png_bytes(drawn))
        report(path, explanation, files)


def report(path: Path, explanation: Explanation, files: list[Path]) -> None:
    """Print what was predicted and where the figure is."""
    height, width = explanation.pixels.shape[:2]
    notes = "".join(f"\nnote: {note}" for note in explanation.notes)
    tqdm.write(f"{path}, explained at {height}×{width}{notes}\n{explanation.table()}\n  → {', '.join(map(str, files))}")


def find_pictures(image: str | None) -> list[Path]:
    """A picture file, or all of a folder, by name; all of them readable, and with different stems.

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
    check_pictures([PictureFile(one) for one in paths])
    return paths


def chosen_estimators() -> dict[str, Any]:
    """Name → estimator ("methods") and its configuration ("settings") for estimator=name or estimator=[name, …].

    An argument on the command line (estimator.num_samples=10) goes to every listed estimator that has it.
    """
    settings, methods = {}, {}
    for name in _listed_estimators():
        own = compose(f"estimator/{name}").estimator
        for override in HydraConfig.get().overrides.task:
            key, _, value = override.lstrip("+").partition("=")
            group, _, argument = key.partition(".")
            if group == "estimator" and (argument in own or override.startswith("+")):
                own = OmegaConf.merge(own, OmegaConf.from_dotlist([f"{argument}={value}"]))
        settings[name] = OmegaConf.to_container(own)
        methods[name]: Estimator = instantiate(own)
    return {"settings": settings, "methods": methods}


def _listed_estimators() -> list[str]:
    """What the command line or conf/explain.yaml lists; Hydra composes the list, but merges its files into one."""
    overrides = [one for one in HydraConfig.get().overrides.task if one.startswith("estimator=")]
    defaults = OmegaConf.load(config_dir() / f"{CONFIG}.yaml").defaults
    chosen = next(entry.estimator for entry in defaults if "estimator" in entry)
    if overrides:
        chosen = OmegaConf.from_dotlist(overrides[-1:]).estimator
    return [chosen] if isinstance(chosen, str) else list(chosen)


def listed_targets(config: DictConfig) -> list[str]:
    """target (one or a list), then target2 … target5."""
    listed: list[str] = []
    for name in ("target", "target2", "target3", "target4", "target5"):
        value = config[name]
        if value is not None:
            listed += [str(one) for one in value] if OmegaConf.is_list(value) else [str(value)]
    return listed


def chosen_backbone(config: DictConfig, with_classes: bool) -> tuple[Backbone, Preprocessing]:
    """The backbone with its class head, the concepts', or both; random weights come from the seed, and are said to be random."""
    settings: dict[str, Any] = OmegaConf.to_container(config.backbone, resolve=True)
    for about in ("source", "licence"):
        settings.pop(about, None)
    preprocessing = instantiate(settings.pop("preprocessing"))
    if settings["checkpoint"] is None and not settings["pretrained"]:
        name = HydraConfig.get().runtime.choices.backbone
        print(
            f"warning: the weights of {name} are random (backbone.checkpoint=null): its maps mean nothing",
            file=sys.stderr,
        )
    if not with_classes:
        settings["head"] = nn.Identity()
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        backbone = load_backbone(
            **settings,
            weights_dir=config.paths.weights_dir,
            device=config.runtime.device,
            precision=config.runtime.precision,
        )
    if config.concept is None:
        return backbone, preprocessing
    given = OmegaConf.to_container(config.concept) if OmegaConf.is_config(config.concept) else config.concept
    arguments = given if isinstance(given, dict) else {"source": given}
    arguments = {"data_dir": config.paths.data_dir, "similarity": config.similarity, **arguments}
    unknown = arguments.keys() - {"source", "imagenet_class", "count", "data_dir", "similarity", "save_as"}
    require(
        not unknown,
        f"concept.{', '.join(sorted(unknown))} is unknown: use source, imagenet_class, count, similarity, save_as",
    )
    concepts = ConceptSource(**arguments).concepts(backbone, preprocessing)
    file = concepts.save(Path(config.output_dir) / "concepts" / f"{'_'.join(concepts.names)}.safetensors")
    tqdm.write(f"concepts {', '.join(concepts.names)} → {file}")
    head = concepts.head(arguments["similarity"])
    return backbone.with_head(JoinedHeads(backbone.head, head) if with_classes else head), preprocessing


def _concept_head(backbone: Backbone) -> nn.Module:
    return backbone.head.heads[-1] if isinstance(backbone.head, JoinedHeads) else backbone.head


def _concept_names(backbone: Backbone) -> list[str]:
    return list(_concept_head(backbone).names)
