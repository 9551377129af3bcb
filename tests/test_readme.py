"""What the README shows works as it stands there."""

import re
from pathlib import Path

import pandas as pd
import pytest

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


def test_the_demo_table_is_the_committed_one():
    rows = re.search(r"<!-- table: digits_multi -->\n(.*?)\n\n", README, flags=re.DOTALL)[1].splitlines()[2:]
    folder = ROOT / "results" / "reference" / "digits_multi"
    tables = [pd.read_csv(folder / f"{name}.csv") for name in ("correctness", "class_discrimination", "localisation")]
    means = pd.concat(tables).pivot_table(index="estimator", columns="score", values="mean", sort=False)
    scores = ["A_LIF-MIF", "A_LIF-MIF_patch", "A_box", "delta_A_LIF-MIF_patch", "delta_A_box", "right_box"]
    assert len(rows) == len(means) == 10
    for row, estimator in zip(rows, means.index, strict=True):
        shown = [float(cell.split()[0].replace("−", "-")) for cell in row.strip("|").split("|")[1:]]
        assert shown == pytest.approx(means.loc[estimator, scores].tolist(), abs=0.51), estimator
