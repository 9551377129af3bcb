"""Hydra entry points that tell a user's mistake in one line and exit with status 2."""

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cdam_bench.devices import num_devices, take_own_device
from cdam_bench.errors import UserError, require
from cdam_bench.interruption import stopping_on_signals
from cdam_bench.messages import config_dir, launcher_trouble, one_line

Task = Callable[[DictConfig], None]
MISTAKES = (UserError, OSError, OmegaConfBaseException, HydraException, InstantiationException)


def _paper_blur(image_size: int | None) -> float:
    """The paper's blur, 14 pixels at 224², for images of another size."""
    from cdam_bench.metrics.perturbation import PAPER_BLUR_SIGMA  # imports torch: seconds that a table does not need

    require(image_size is not None, "backbone.image_size is not set: give the side of the images in pixels")
    return PAPER_BLUR_SIGMA * image_size / 224


OmegaConf.register_new_resolver("paper_blur", _paper_blur, replace=True)
OmegaConf.register_new_resolver("num_devices", num_devices, replace=True)
warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/joblib' is validated")  # the plugin's keys, our values


def run(task: Task, config_name: str) -> None:
    """Compose `conf/<config_name>.yaml` with the command line and call `task` with it; never returns on a mistake.

    UserErrors, unknown names and impossible values print one line and exit with status 2. With HYDRA_FULL_ERROR=1 the
    traceback is shown instead. In a sweep the others still run whatever happens to one.
    """
    failures: list[Exception] = []
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"

    def guarded(config: DictConfig) -> None:
        try:
            with stopping_on_signals():
                take_own_device()
                task(config)
        except Exception as error:
            is_mistake = isinstance(error, MISTAKES)
            if wants_traceback or not (is_mistake or HydraConfig.get().mode == RunMode.MULTIRUN):
                raise
            failures.append(error)
            if not is_mistake:
                traceback.print_exc()
            print(f"error: {one_line(error)}", file=sys.stderr)

    app = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(guarded)
    try:
        with _hydra_raises(), stopping_on_signals():
            app()
    except MISTAKES as error:
        if wants_traceback:
            raise
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(2)
    except RuntimeError as error:  # of launchers
        if wants_traceback or (line := launcher_trouble(error)) is None:
            raise
        print(f"error: {line}", file=sys.stderr)
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
