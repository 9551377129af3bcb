"""What the README shows works as it stands there."""

import re

import pytest

from tests.documented import DOCS, ROOT, commands, compose_command, example, page
from tests.scripts import command

README = page("README.md")


def test_the_readme_is_short():
    assert README.count("\n") < 200


def test_the_first_screen_says_what_it_is_how_it_looks_how_to_run_it_and_which_method_to_choose():
    lines = README.splitlines()
    asked = ["![", "## On your own model", "## Which method"]
    places = [next(i for i, line in enumerate(lines) if line.startswith(start)) for start in asked]
    assert places == sorted(places)
    assert places[-1] < 40


def test_the_python_example_runs_and_has_at_most_ten_lines(capsys):
    code = example(README, "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    exec(compile(code, "README.md", "exec"), {})
    assert "2, 2, 224, 224" in capsys.readouterr().out


def test_the_example_of_one_picture_runs(tmp_path, monkeypatch, capsys):
    (tmp_path / "docs").symlink_to(DOCS)
    monkeypatch.chdir(tmp_path)
    exec(compile(example(README, "explain"), "README.md", "exec"), {})
    assert "dict_keys" in capsys.readouterr().out
    assert list((tmp_path / "outputs").rglob("*.npz"))


def test_the_command_without_a_model_or_data_runs(tmp_path, monkeypatch):
    (shown,) = [words for words in commands(page("docs/index.md")) if "image=docs/images/two_digits.png" in words]
    (tmp_path / "docs").symlink_to(DOCS)
    monkeypatch.chdir(tmp_path)
    assert command(*shown) == 0
    assert list((tmp_path / "outputs").rglob("*.png"))


@pytest.mark.parametrize("words", commands(README), ids=" ".join)
def test_every_command_is_understood(words):
    compose_command(words)


def test_every_target_of_make_is_there():
    targets = set(re.findall(r"^make ([\w-]+)|`make ([\w-]+)`", README, flags=re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lacking = [name for pair in targets for name in pair if name and f"\n{name}:" not in makefile]
    assert targets
    assert lacking == []


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_linked_file_is_there(link):
    assert (ROOT / link).exists()
