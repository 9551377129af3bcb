"""What Hydra and its launchers complain about, in one line that says what to do."""

import re
from pathlib import Path

from hydra.errors import ConfigCompositionException, MissingConfigException

from cdam_bench.configs import config_dir
from cdam_bench.errors import one_line, unknown_name

LAUNCHERS = {"submitit_slurm": "slurm", "submitit_local": "slurm", "joblib": "joblib"}  # of Hydra → our extra


def told(error: BaseException) -> str:
    """What is wrong, and what to do, in one line."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        # of a list of choices, Hydra does not tell the options
        path = Path(error.missing_cfg_file)
        if path.parent.name == "launcher" and path.name in LAUNCHERS:
            return f"hydra/launcher={path.name} is not installed: pip install 'cdam-bench[{LAUNCHERS[path.name]}]'"
        if options := error.options or sorted(file.stem for file in (config_dir() / path.parent).glob("*.yaml")):
            return str(unknown_name(str(path.parent), path.name, options))
    line = one_line(error)
    if isinstance(error, ConfigCompositionException) and error.__cause__ is not None:
        line = "; ".join([line, *(text.strip() for text in str(error.__cause__).splitlines()[:1])])
    return line


def launcher_trouble(error: RuntimeError) -> str | None:
    """What to do when a launcher cannot start jobs, or lost some; None for other errors."""
    text = str(error)
    if plugin := re.search(r"hydra_plugins\.hydra_(joblib|submitit)", text):
        extra = {"joblib": "joblib", "submitit": "slurm"}[plugin[1]]
        return f"this launcher is not installed: pip install 'cdam-bench[{extra}]'"
    if "srun" in text:
        return "hydra/launcher=slurm needs Slurm's commands (sbatch, srun): run it where jobs are submitted"
    if type(error).__module__.startswith(("submitit", "joblib")):
        lines = "; ".join(text.splitlines()[:2])
        return f"the launcher reports: {lines}; `cdam-bench status` tells what is done, the same command continues"
    return None
