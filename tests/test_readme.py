"""What the README shows works as it stands there."""

import re
from pathlib import Path

import pandas as pd
import pytest

from tests.committed_tables import check_tables
from tests.runs import cdam_bench

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def example(name: str) -> str:
    """The code block under `<!-- example: name -->`."""
    (code,) = re.findall(rf"<!-- example: {name} -->\n```\w*\n(.*?)```", README, flags=re.DOTALL)
    return code


def test_the_python_example_runs_and_has_at_most_ten_lines(capsys):
    code = example("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    exec(compile(code, "README.md", "exec"), {})
    assert "2, 2, 224, 224" in capsys.readouterr().out


def test_the_example_of_one_picture_runs(tmp_path, monkeypatch, capsys):
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    exec(compile(example("explain"), "README.md", "exec"), {})
    assert "dict_keys" in capsys.readouterr().out
    assert list((tmp_path / "outputs").rglob("*.npz"))


def test_an_estimator_of_ones_own_is_one_class_and_one_yaml(tmp_path, monkeypatch):
    (tmp_path / "mymethods.py").write_text(example("estimator"))
    (tmp_path / "myconf" / "estimator").mkdir(parents=True)
    (tmp_path / "myconf" / "estimator" / "token_norm.yaml").write_text(example("yaml"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert cdam_bench(tmp_path / "results", "--config-dir", "myconf", "estimator=token_norm") == 0
    scores = pd.read_csv(tmp_path / "results/cells/digits_multi/digits_vit/token_norm/scores.csv")
    assert len(scores) == 6
    assert (scores["delta_A_LIF-MIF"] == 0).all()  # lengths of tokens do not know the class


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", README))
def test_every_linked_file_is_there(link):
    assert (ROOT / link).exists()


def test_the_tables_are_the_committed_ones():
    assert check_tables(README) == README.count("<!-- table:") > 0


def test_the_tables_of_the_findings_are_the_committed_ones():
    findings = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert check_tables(findings) == findings.count("<!-- table:") > 0
