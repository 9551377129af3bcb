"""`export`, `rank` and `compare` as commands: words, exit status, files; no torch."""

import subprocess
import sys

import numpy as np
import pytest

from tests.reporting.stores import write_cell
from tests.runs import files_below
from tests.scripts import command

COUNT = 12
VALUES = np.random.default_rng(0).normal(50, 20, COUNT)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs that differ in one score of one cell."""
    folder = tmp_path_factory.mktemp("it's two runs")
    for name, shift in {"before": 0, "after": np.linspace(1, 2, COUNT)}.items():
        write_cell(folder / name, "cdam", {"A_MIF": VALUES, "A_LIF": VALUES + shift})
        write_cell(folder / name, "gradcam", {"A_MIF": VALUES + 1, "A_LIF": VALUES})
    return folder


def test_compare_takes_two_words_and_exits_with_1_where_something_changed(runs, capsys):
    before, after = str(runs / "before"), str(runs / "after")
    assert command("compare", before, after, f"output='{runs / 'changes.csv'}'".replace("it's", "it\\'s")) == 1
    told = capsys.readouterr().out
    assert "* 1 of 2 cells: identical to the last digit" in told
    assert "| digits · digits_vit · CDAM | A_LIF ↑ |" in told
    assert (runs / "changes.csv").read_text().count("significant") == 1


def test_compare_exits_with_0_where_nothing_changed_and_takes_an_exported_file(runs, tmp_path, capsys):
    assert command("export", str(runs / "before"), str(tmp_path / "scores.csv")) == 0
    assert "24 rows of 2 cells" in capsys.readouterr().out
    assert command("compare", str(runs / "before"), str(tmp_path / "scores.csv")) == 0
    assert "* 2 of 2 cells: identical to the last digit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("compare", "{runs}/before", "{runs}/gone"), "there is no such folder or file"),
        (("compare", "{runs}/before", "{runs}"), "has no results; a results folder has cells/ in it"),
        (("compare", "{runs}/before", "{runs}/before", "{runs}/after"), "error: "),
        (("rank", "{runs}/before", "by=A_MIFF"), "by=A_MIFF is unknown: did you mean A_MIF"),
        (("rank", "{runs}/before", "only=digit"), "has no results of dataset digit: did you mean digits?"),
        (("export", "{runs}/before", "scores.xlsx"), "must end in .parquet or .csv"),
        (("export", "{runs}/gone"), "has no results yet"),
    ],
)
def test_mistakes_are_told_in_one_line_with_exit_status_2(words, told, runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(*(word.format(runs=runs) for word in words)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert told in line
    assert not list(tmp_path.iterdir())


def test_runs_that_cannot_be_paired_are_no_success(runs, tmp_path, capsys):
    write_cell(tmp_path, "cdam", {"A_MIF": VALUES}, settings={"dataset": {"_target_": "other.Scenes"}})
    assert command("compare", str(runs / "before"), str(tmp_path)) == 2
    told = capsys.readouterr()
    assert "not compared: digits · digits_vit · cdam: other images (dataset._target_: " in told.out
    assert "nothing could be compared" in told.err


def test_rank_writes_what_tables_writes_and_the_rankings(runs, tmp_path, capsys):
    assert command("export", str(runs / "after"), str(tmp_path / "scores.parquet")) == 0
    assert command("rank", str(tmp_path / "scores.parquet"), f"output_dir={tmp_path / 'ranked'}") == 0
    assert "### A_MIF ↓" in capsys.readouterr().out
    folder = f"results_dir='{runs / 'after'}'".replace("it's", "it\\'s")
    assert command("tables", folder, f"output_dir={tmp_path / 'tables'}") == 0
    ranked, tables = (files_below(tmp_path / name) for name in ("ranked", "tables"))
    of_rankings = {name for name in ranked if "ranking" in name}
    assert {name.rpartition("/")[2] for name in of_rankings} == {"ranking.md", "ranking.csv", ".rankings.txt"}
    assert {name: text for name, text in ranked.items() if name not in of_rankings} == tables


def test_neither_rank_nor_compare_nor_export_loads_torch(runs, tmp_path):
    code = (
        "import sys\n"
        "from cdam_bench.cli import main\n"
        f"main(['export', {str(runs / 'before')!r}, 'scores.parquet'])\n"
        "main(['rank', 'scores.parquet', 'output_dir=ranked'])\n"
        "main(['compare', 'scores.parquet', 'scores.parquet'])\n"
        "print('imported:', *(name for name in ('torch', 'timm', 'torchvision', 'captum') if name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "imported:"
