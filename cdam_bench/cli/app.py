"""Run a command: compose its configuration with Hydra, load its code, tell a user's mistake in one line and exit with status 2."""

import argparse
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cdam_bench.cli.commands import about
from cdam_bench.cli.devices import take_own_device
from cdam_bench.cli.messages import launcher_trouble, told
from cdam_bench.cli.signals import stopping_on_signals
from cdam_bench.configs import check_keys, config_dir
from cdam_bench.errors import UserError

Task = Callable[[DictConfig], None]
MISTAKES = (UserError, OSError, OmegaConfBaseException, HydraException, InstantiationException)
INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it
OmegaConf.register_new_resolver("command_help", about, replace=True)
warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/joblib' is validated")  # the plugin's keys, our values


def run(task: Task | str, config_name: str) -> None:
    """Compose `conf/<config_name>.yaml` with the command line and call `task` with it; never returns on a mistake.

    UserErrors, unknown names and impossible values print one line and exit with status 2. With HYDRA_FULL_ERROR=1 the
    traceback is shown instead. In a sweep the others still run whatever happens to one.

    Args:
        task: the function, or where it is, as "package.module:function": it is imported when the command line is understood.
        config_name: of the primary configuration.
    """
    failures: list[Exception] = []
    crashes: list[Exception] = []  # of the task, which are bugs: their traceback is wanted
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"

    def guarded(config: DictConfig) -> None:
        find_own_modules()  # here too: a launcher may have started a new process
        try:
            with stopping_on_signals(), warnings_in_one_line():
                check_keys(config, config_name)
                take_own_device()
                loaded(task)(config)
        except Exception as error:
            is_mistake = isinstance(error, MISTAKES)
            if wants_traceback or not (is_mistake or HydraConfig.get().mode == RunMode.MULTIRUN):
                crashes.append(error)
                raise
            failures.append(error)
            if not is_mistake:
                traceback.print_exc()
            print(f"error: {told(error)}", file=sys.stderr)

    find_own_modules()
    app = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(guarded)
    try:
        with _hydra_raises(), stopping_on_signals():
            app()
    except MISTAKES as error:
        if wants_traceback:
            raise
        fail(told(error))
    except RuntimeError as error:  # of launchers
        if wants_traceback or (line := launcher_trouble(error)) is None:
            raise
        fail(line)
    except (ValueError, TypeError, AttributeError) as error:  # of Hydra, about words that it does not expect
        if wants_traceback or crashes:
            raise
        fail(told(error))
    except KeyboardInterrupt:
        fail("interrupted: the same command continues where this one stopped", INTERRUPTED, "")
    if failures:
        sys.exit(2)


def fail(line: str, status: int = 2, prefix: str = "error: ") -> None:
    """Print one line to stderr and exit."""
    print(f"{prefix}{line}", file=sys.stderr)
    sys.exit(status)


def loaded(task: Task | str) -> Task:
    """The function that `package.module:function` names."""
    if not isinstance(task, str):
        return task
    module, _, function = task.partition(":")
    return getattr(importlib.import_module(module), function)


def find_own_modules() -> None:
    """Modules in the folder a command runs from can be named in `_target_`, whichever way the command was started."""
    folder = str(Path.cwd())
    if not {"", folder} & set(sys.path):
        sys.path.insert(0, folder)


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Our own warnings are told in one line, without the place in the code."""
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], filename: str, *rest: Any) -> None:
        if Path(filename).is_relative_to(Path(__file__).parents[1]) and category is UserWarning:
            print(f"warning: {message}", file=sys.stderr)
        else:
            before(message, category, filename, *rest)

    warnings.showwarning = show  # ty: ignore[invalid-assignment] (of any further arguments)
    try:
        yield
    finally:
        warnings.showwarning = before


def _refuse(self: argparse.ArgumentParser, message: str) -> NoReturn:  # noqa: ARG001
    """What Hydra's parser of flags complains about, without its page of usage."""
    raise UserError(f"{message}; flags stand together, before or after all of the settings")


@contextmanager
def _hydra_raises() -> Iterator[None]:
    """Let Hydra raise what goes wrong instead of printing a report of its own and exiting."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    complain = argparse.ArgumentParser.error
    argparse.ArgumentParser.error = _refuse
    try:
        yield
    finally:
        argparse.ArgumentParser.error = complain
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before
