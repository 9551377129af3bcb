"""What the README and the pages of docs/ show: examples of code, commands, links."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, open_dict

from cdam_bench.cli import app, program
from cdam_bench.configs import check_keys, config_dir

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )*cdam-bench (.*)")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def page(name: str) -> str:
    """A page's text, by its path in the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def pages() -> list[str]:
    """The README and the pages of docs/, by their paths in the repository."""
    return ["README.md", *sorted(str(path.relative_to(ROOT)) for path in DOCS.rglob("*.md"))]


def example(text: str, name: str) -> str:
    """The code block under `<!-- example: name -->`."""
    (code,) = re.findall(rf"<!-- example: {name} -->\n```\w*\n(.*?)```", text, flags=re.DOTALL)
    return code


def without_code(text: str) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$|^    .*?$", "", text, flags=re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[tuple[str, ...]]:
    """Words after `cdam-bench` of every command in blocks of code, each once; words with “…” are left out."""
    blocks = "\n".join(re.findall(r"^```bash\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE))
    indented = "\n".join(
        re.findall(r"^    (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.M)
    )
    lines = (blocks + "\n" + indented).replace("\\\n", " ").splitlines()
    shown = [match[1] for line in lines for part in line.split("&&") if (match := COMMAND.match(part.strip()))]
    words = [tuple(word for word in shlex.split(one, comments=True) if "…" not in word) for one in shown]
    return list(dict.fromkeys(words))


def compose_command(words: tuple[str, ...]) -> None:
    """Compose the settings of a command as it would be run, of a sweep those of its first cell; mistakes are raised."""
    started: list[tuple[str, list[str]]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["cdam-bench"])
        patch.setattr(app, "run", lambda _task, config: started.append((config, sys.argv[1:])))
        program.main(list(words))
    for config, arguments in started:  # none for --help
        overrides = first_cell([word for word in arguments if not word.startswith("-")])
        composed = composed_of(config, overrides)
        if "--multirun" in arguments:
            swept = {key: value for key, value in composed.hydra.sweeper.params.items() if key != "shard"}
            composed = composed_of(config, first_cell([f"{key}={value}" for key, value in swept.items()]) + overrides)
        with pytest.MonkeyPatch.context() as patch, open_dict(composed):
            patch.setattr(HydraConfig.instance(), "cfg", None)
            HydraConfig.instance().set_config(composed)  # names of cells ask it what was chosen
            del composed["hydra"]
            check_keys(composed, config)


def first_cell(words: list[str]) -> list[str]:
    """Settings with the first of several values where they have several."""
    return [
        f"{one.get_key_element()}={next(one.sweep_string_iterator())}"
        if one.is_sweep_override()
        else str(one.input_line)
        for one in OverridesParser.create().parse_overrides(words)
    ]


def composed_of(config: str, overrides: list[str]) -> DictConfig:
    """What Hydra makes of a configuration and settings, with its own part."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose(config, overrides=overrides, return_hydra_config=True)
