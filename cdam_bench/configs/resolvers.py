"""Resolvers: what settings in conf/ are computed by, as `${paper_blur:64}`."""

import re
from typing import Any

from omegaconf import OmegaConf

from cdam_bench.configs.composing import choices
from cdam_bench.errors import UserError, with_prefix


def paper_blur(image_size: int | None) -> float:
    """The paper's blur, 14 pixels at 224², for images of another size."""
    from cdam_bench.metrics.perturbation import PAPER_BLUR_SIGMA

    if image_size is None:
        raise UserError("backbone.image_size is not set: give the side of the images in pixels")
    return PAPER_BLUR_SIGMA * image_size / 224


def timm_setting(setting: str, architecture: str | None) -> Any:
    """What timm says about a model: "name", made fit for a folder, or an argument of `TimmPreprocessing`."""
    if architecture is None:
        raise UserError(
            "backbone.architecture is not set: name a model of timm, as backbone.architecture=vit_tiny_patch16_224"
        )
    if setting == "name":
        return re.sub(r"[/:\\]+", "_", str(architecture)).strip("._")
    import timm

    from cdam_bench.backbones.loading import check_architecture
    from cdam_bench.backbones.preprocessing import timm_settings

    try:
        check_architecture(architecture)
    except UserError as error:
        raise with_prefix(error, "backbone") from error
    config = timm.get_pretrained_cfg(architecture, allow_unregistered=True)
    return timm_settings(config.to_dict() if config is not None else {})[setting]


def of_hugging_face(what: str, *arguments: Any) -> Any:
    """See `settings_of`; torch is not imported before a configuration has such a model."""
    from cdam_bench.backbones.hugging_face import settings_of

    try:
        return settings_of(what, *arguments)
    except UserError as error:
        raise with_prefix(error, "backbone") from error


def contrasted(name: str, contrast: Any) -> str:
    """Name of a cell whose maps are those of a contrast."""
    return name if contrast is None else f"{name}_contrast"


def register() -> None:
    """Make the resolvers known to OmegaConf."""
    resolvers = {
        "choices": lambda group: ", ".join(choices(group)),
        "contrasted": contrasted,
        "hf": of_hugging_face,
        "paper_blur": paper_blur,
        "timm": timm_setting,
    }
    for name, resolver in resolvers.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)
