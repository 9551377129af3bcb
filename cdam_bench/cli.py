"""Hydra entry points that tell a user's mistake in one line and exit with status 2."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.errors import ConfigCompositionException, HydraException, InstantiationException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cdam_bench.errors import UserError, nearest_names, require
from cdam_bench.metrics.perturbation import PAPER_BLUR_SIGMA

PACKAGE = Path(__file__).parent
Task = Callable[[DictConfig], None]


def _paper_blur(image_size: int | None) -> float:
    """The paper's blur, 14 pixels at 224², for images of another size."""
    require(image_size is not None, "backbone.image_size is not set: give the side of the images in pixels")
    return PAPER_BLUR_SIGMA * image_size / 224


OmegaConf.register_new_resolver("paper_blur", _paper_blur, replace=True)


def config_dir() -> Path:
    """Folder of the configuration files: inside the installed package, or beside it in a checkout."""
    packaged = PACKAGE / "conf"
    return packaged if packaged.is_dir() else PACKAGE.parent / "conf"


def run(task: Task, config_name: str) -> None:
    """Compose `conf/<config_name>.yaml` with the command line and call `task` with it; never returns on a mistake.

    UserErrors, unknown names and impossible values print one line and exit with status 2. With HYDRA_FULL_ERROR=1 the
    traceback is shown instead. In a sweep the other cells still run.
    """
    failures: list[Exception] = []
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"

    def guarded(config: DictConfig) -> None:
        try:
            task(config)
        except (UserError, OSError, OmegaConfBaseException, InstantiationException) as error:
            if wants_traceback:
                raise
            failures.append(error)
            print(f"error: {_one_line(error)}", file=sys.stderr)

    app = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(guarded)
    try:
        with _hydra_raises():
            app()
    except (UserError, OSError, OmegaConfBaseException, HydraException) as error:
        if wants_traceback:
            raise
        print(f"error: {_one_line(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command continues where this one stopped")
    if failures:
        sys.exit(2)


@contextmanager
def _hydra_raises() -> Iterator[None]:
    """Let Hydra raise what goes wrong instead of printing a report of its own and exiting with status 1."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


def _one_line(error: BaseException) -> str:
    """What is wrong, and what to do, in one line."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        # of a list of choices, Hydra does not tell the options
        group = config_dir() / Path(error.missing_cfg_file).parent
        if options := error.options or sorted(path.stem for path in group.glob("*.yaml")):
            return _unknown_choice(error.missing_cfg_file, options)
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        where = re.search(r"full_key: (\S+)", str(error))
        reason = _one_line(error.__cause__)
        return reason if isinstance(error.__cause__, UserError) or where is None else f"{where[1]}: {reason}"
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, ConfigCompositionException) and error.__cause__ is not None:
        lines += [line.strip() for line in str(error.__cause__).splitlines()[:1]]
    return "; ".join(lines[:3])


def _unknown_choice(path: str, options: list[str]) -> str:
    """`estimator/smoth` → the nearest names of that group."""
    group, _, name = path.rpartition("/")
    near = nearest_names(name, options)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{group}={name} is unknown: {hint}available: {', '.join(sorted(options))}"
