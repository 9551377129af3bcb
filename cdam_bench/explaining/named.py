"""Backbones and estimators by the names of their configurations, for Python."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from omegaconf import OmegaConf

from cdam_bench import configs
from cdam_bench.backbones import Backbone
from cdam_bench.datasets import Preprocessing
from cdam_bench.errors import require, unknown_name
from cdam_bench.estimators import Estimator

EXPLAIN = "scripts/explain"  # the command's configuration
TEMPLATE_KEYS = ("path", "architecture")  # which model, where a configuration is for any
Estimators = str | Estimator | Sequence[str | Estimator] | Mapping[str, Estimator]


def named_backbone(name: str) -> tuple[Backbone, Preprocessing]:
    """The backbone of conf/backbone/<name>.yaml, with its preprocessing.

    Raises:
        UserError: for an unknown name, and if its weights are not here.
    """
    known = configs.choices("backbone")
    if name not in known:
        raise unknown_name("backbone", name, known)
    config = configs.compose([f"backbone={name}"], EXPLAIN)
    settings: Any = OmegaConf.to_container(config.backbone, resolve=False)
    unset = [key for key in TEMPLATE_KEYS if key in settings and settings[key] is None]
    require(
        not unset, f"backbone={name} lacks {', '.join(unset)}: pass the model's folder, its id, or timm's name of it"
    )
    return configs.build_backbone(config), configs.build_preprocessing(config)


def named_estimators(estimators: Estimators) -> dict[str, Estimator]:
    """Estimators by name: from names in conf/estimator, or objects, which are called as the configuration of their class.

    Raises:
        UserError: for an unknown name, or none.
    """
    if isinstance(estimators, Mapping):
        require(bool(estimators), "no estimator is given")
        return dict(estimators)
    found: dict[str, Estimator] = {}
    alone = isinstance(estimators, str | type) or not isinstance(estimators, Iterable)
    listed: list[Any] = [estimators] if alone else list(estimators)
    for one in listed:
        if isinstance(one, str):
            name, method = one, configs.instantiate(_settings(one), "estimator")
        else:
            mend = f"pass {one.__name__}()" if isinstance(one, type) else "give a name of conf/estimator or an object"
            require(isinstance(one, Estimator), f"estimator={one!r} is no estimator: {mend}")
            name, method = _name_of(type(one)), one
        while name in found:
            name += "_"
        found[name] = method
    require(bool(found), "no estimator is given")
    return found


@lru_cache
def _settings(name: str) -> dict[str, Any]:
    """What conf/estimator/<name>.yaml says."""
    known = configs.choices("estimator")
    if name not in known:
        raise unknown_name("estimator", name, known)
    return configs.plain(configs.compose((), f"estimator/{name}").estimator)


def _name_of(kind: type) -> str:
    """Name of the configuration whose class this is, or the class's own name."""
    for path in sorted((configs.config_dir() / "estimator").glob("*.yaml")):
        settings: Any = OmegaConf.load(path)
        if settings.get("_target_") == f"cdam_bench.estimators.{kind.__name__}":
            return path.stem
    return kind.__name__
