"""Every command is there with its function, its configuration and its help; every text names commands that exist."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

from cdam_bench.cli.commands import BY_NAME, COMMANDS
from cdam_bench.configs import compose, config_dir
from tests.scripts import command

ROOT = Path(__file__).parents[2]
NAMES = [one.name for one in COMMANDS]
FIRST = {name.split()[0] for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_the_function_of_a_command_takes_its_configuration(name):
    module, _, function = BY_NAME[name].task.partition(":")
    task = getattr(importlib.import_module(module), function)
    assert list(inspect.signature(task).parameters) == ["config"]
    assert compose((), BY_NAME[name].config)


@pytest.mark.parametrize("name", NAMES)
def test_help_names_the_command_and_says_what_it_does(name, capsys):
    assert command(*name.split(), "--help") == 0
    told = capsys.readouterr().out
    assert f"cdam-bench {name}" in told
    assert BY_NAME[name].summary in told
    assert "Powered by Hydra" not in told


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_command_names_settings_that_it_has(name):
    compose([word for word in BY_NAME[name].example.split() if "=" in word], BY_NAME[name].config)


def test_every_script_is_a_command_and_has_its_configuration():
    scripts = {path.stem: path.read_text() for path in (ROOT / "scripts").glob("[!_]*.py")}
    for stem, text in scripts.items():
        (name,) = re.findall(r'script\("([a-z0-9 -]+)"\)', text)
        assert BY_NAME[name].config == f"scripts/{stem}"
        assert f"`cdam-bench {name}`" in text
    assert {path.stem for path in (config_dir() / "scripts").glob("*.yaml")} >= scripts.keys()


TEXTS = [
    *(ROOT / "cdam_bench").rglob("*.py"),
    *(ROOT / "conf").rglob("*.yaml"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "docs").glob("*.py"),
    *ROOT.glob("*.md"),
    ROOT / "Makefile",
]


SHOWN = re.compile(
    r"(?:`|^ *|\$ |bin/|BIN\)/|; |&& |: |by |with )cdam-bench ([a-z][a-z-]*)(?: ([a-z0-9-]+)(?![\w=.-]))?", re.MULTILINE
)  # in code, or as the start of a line of it


def test_every_command_that_a_text_names_exists():
    named = [(path, *words) for path in TEXTS for words in SHOWN.findall(path.read_text(encoding="utf-8"))]
    assert len(named) > 40
    for path, first, second in named:
        where = f"{path.relative_to(ROOT)}: cdam-bench {first} {second}"
        assert first in FIRST, where
        assert first in BY_NAME or f"{first} {second}" in BY_NAME, where


def test_every_script_that_a_text_names_exists():
    for path in TEXTS:
        for script in re.findall(r"\bscripts/(\w+\.py)", path.read_text(encoding="utf-8")):
            assert (ROOT / "scripts" / script).is_file(), f"{path.relative_to(ROOT)}: scripts/{script}"


def test_every_experiment_that_a_text_names_exists():
    for path in TEXTS:
        for group, choice in re.findall(r"\b(experiment|finetuning)=([a-z]\w*)", path.read_text(encoding="utf-8")):
            there = (config_dir() / group / f"{choice}.yaml").is_file()
            assert there or choice == "mine", f"{path.relative_to(ROOT)}: {group}={choice}"
