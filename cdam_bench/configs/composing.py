"""Composing: configurations from `conf/`, their keys checked, and objects from settings.

What is wrong with an argument is told with the key that the user typed. Nothing heavy is imported before an object is built.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from cdam_bench.errors import UserError, one_line, require, require_text, unknown_name, with_prefix

PACKAGE = Path(__file__).parents[1]
RUN = "config"  # the configuration of a run, conf/config.yaml
OF_ANY_KIND = ("runtime.batch_size", "val_dir")  # text as they come; a number or null can stand there, too
CLOSED_GROUPS = ("runtime", "paths", "names")  # whose keys are the same whatever is chosen
MOVED = {  # where classes were in version 0.1.0 → where they are
    "cdam_bench.concepts.ConceptSource": "cdam_bench.datasets.concepts.ConceptSource",
    "cdam_bench.datasets.LidcNodules": "cdam_bench.lidc.dataset.LidcNodules",
}
Plain = dict[str, Any]


def config_dir() -> Path:
    """Folder of the configuration files: inside the installed package, or beside it in a checkout."""
    packaged = PACKAGE / "conf"
    return packaged if packaged.is_dir() else PACKAGE.parent / "conf"


def choices(group: str) -> list[str]:
    """Names that a group offers, as in `choices("estimator")`; inside a command with those of the user's --config-dir."""
    from hydra.core.global_hydra import GlobalHydra

    if GlobalHydra.instance().is_initialized():
        return sorted(GlobalHydra.instance().config_loader().get_group_options(group))
    return sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))


def compose(overrides: Sequence[str] = (), config_name: str = RUN) -> DictConfig:
    """A configuration as a command would get it, from Python.

    Args:
        overrides: as on the command line, such as ["estimator=cdam", "dataset.num_images=10"].
        config_name: of the command, such as "scripts/explain".
    Raises:
        UserError: for unknown names and keys.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    running, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            return compose(config_name, list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(one_line(error)) from error
    finally:
        GlobalHydra.instance().hydra = running


def plain(config: Any) -> Any:
    """Settings as plain values, everything resolved."""
    return OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config


def check_keys(config: DictConfig, config_name: str) -> None:
    """Raise UserError if a composed configuration has keys that its own files do not have.

    Hydra refuses unknown keys on the command line, but neither `+metric/x=…` nor what the file of an experiment adds.
    """
    known = _known_keys(config_name)
    for key in known:
        require(key in config, f"{key} is taken away, but every run needs it: leave it, or give it a value")
    for key in map(str, config):
        if key not in known:
            raise unknown_name("key", key, known)
        _check_kind(key, config[key], known[key])
        if key in CLOSED_GROUPS:
            for name in map(str, config[key]):
                if name not in known[key]:
                    raise unknown_name("key", f"{key}.{name}", (f"{key}.{one}" for one in known[key]))
                _check_kind(f"{key}.{name}", config[key][name], known[key][name])


def _check_kind(key: str, value: Any, default: Any) -> None:
    """Raise UserError unless a setting is of the kind it has in its own file: a group of settings, text, yes or no."""
    if key in OF_ANY_KIND:
        return
    if isinstance(default, Mapping):
        require(
            OmegaConf.is_dict(value), f"{key}={value}: is a group of settings, such as {key}.{next(iter(default), '…')}"
        )
    elif isinstance(default, bool):
        require(isinstance(value, bool), f"{key}={value}: must be true or false")
    elif default == "":
        require(isinstance(value, str), f"{key}={value}: must be text, in quotes where it is a number")
    elif isinstance(default, str) and value != default:  # one that comes empty may stay so
        require_text(key, value)


@lru_cache(maxsize=8)
def _known_keys(config_name: str) -> Plain:
    """A configuration as it comes; nothing is resolved."""
    composed: Any = OmegaConf.to_container(compose((), config_name), resolve=False)
    return {str(key): value for key, value in composed.items()}


def instantiate(settings: Any, key: str, **arguments: Any) -> Any:
    """The object of settings with `_target_`.

    Args:
        settings: `_target_` and arguments.
        key: where they stand in the configuration, as `metric.fidelity`.
        arguments: further ones, objects already.
    Raises:
        UserError: for a class that is not there and for arguments that it does not take or cannot use.
    """
    import hydra.utils
    from hydra.errors import InstantiationException

    if OmegaConf.is_config(settings) or isinstance(settings, Mapping):
        settings = {**plain(settings)}
        require("_target_" in settings, f"{key} has no _target_: give the class, as in conf/{key.split('.')[0]}")
        target = settings["_target_"]
        require(
            isinstance(target, str), f"{key}._target_={target}: must be the name of a class, as package.module.Class"
        )
        settings = moved(settings)
    try:
        return hydra.utils.instantiate(settings, **arguments)
    except UserError as error:
        raise with_prefix(error, key) from error
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise with_prefix(error.__cause__, key) from error
        reason = one_line(error.__cause__) if error.__cause__ is not None else one_line(error)
        raise UserError(f"{key}: {reason}") from error


def moved(settings: Any) -> Any:
    """Settings whose class is named as it is now, where version 0.1.0 named it otherwise; anything else as it is."""
    if not isinstance(settings, dict) or "_target_" not in settings:
        return settings
    return settings | {"_target_": MOVED.get(settings["_target_"], settings["_target_"])}
