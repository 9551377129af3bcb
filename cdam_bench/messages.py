"""Any error in one line: what is wrong, and what to do."""

import re
from pathlib import Path

from hydra.errors import ConfigCompositionException, InstantiationException, MissingConfigException

from cdam_bench.errors import UserError, nearest_names

PACKAGE = Path(__file__).parent
LAUNCHERS = {"submitit_slurm": "slurm", "submitit_local": "slurm", "joblib": "joblib"}  # of Hydra → our extra


def config_dir() -> Path:
    """Folder of the configuration files: inside the installed package, or beside it in a checkout."""
    packaged = PACKAGE / "conf"
    return packaged if packaged.is_dir() else PACKAGE.parent / "conf"


def one_line(error: BaseException) -> str:
    """What is wrong, and what to do, in one line."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        # of a list of choices, Hydra does not tell the options
        group = config_dir() / Path(error.missing_cfg_file).parent
        launcher = Path(error.missing_cfg_file).name
        if group.name == "launcher" and launcher in LAUNCHERS:
            return f"hydra/launcher={launcher} is not installed: pip install 'cdam-bench[{LAUNCHERS[launcher]}]'"
        if options := error.options or sorted(path.stem for path in group.glob("*.yaml")):
            return _unknown_choice(error.missing_cfg_file, options)
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        where = re.search(r"full_key: (\S+)", str(error))
        reason = one_line(error.__cause__)
        return reason if isinstance(error.__cause__, UserError) or where is None else f"{where[1]}: {reason}"
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, ConfigCompositionException) and error.__cause__ is not None:
        lines += [line.strip() for line in str(error.__cause__).splitlines()[:1]]
    return "; ".join(lines[:3]) or type(error).__name__


def launcher_trouble(error: RuntimeError) -> str | None:
    """What to do when a launcher cannot start jobs, or lost some; None for other errors."""
    text = str(error)
    if plugin := re.search(r"hydra_plugins\.hydra_(joblib|submitit)", text):
        extra = {"joblib": "joblib", "submitit": "slurm"}[plugin[1]]
        return f"this launcher is not installed: pip install 'cdam-bench[{extra}]'"
    if "srun" in text:
        return "hydra/launcher=slurm needs Slurm's commands (sbatch, srun): run it where jobs are submitted"
    if type(error).__module__.startswith(("submitit", "joblib")):
        told = "; ".join(text.splitlines()[:2])
        return f"the launcher reports: {told}; scripts/status.py tells what is done, the same command continues"
    return None


def _unknown_choice(path: str, options: list[str]) -> str:
    """`estimator/smoth` → the nearest names of that group."""
    group, _, name = path.rpartition("/")
    near = nearest_names(name, options)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{group}={name} is unknown: {hint}available: {', '.join(sorted(options))}"
