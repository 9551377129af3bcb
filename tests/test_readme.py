"""What the README shows works as it stands there."""

import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.text import Text

from cdam_bench.cli import main
from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.figures import comparison_figures
from cdam_bench.reporting.paired import write_paired
from cdam_bench.reporting.tables import write_tables
from tests.committed_tables import check_claims, check_tables, committed

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


def run_own(results_dir, *overrides):
    """`cdam-bench run` with the README's own files, on few images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [])
        main(["run", "--config-dir", "myconf", f"results_dir={results_dir}", "dataset.num_images=6", *overrides])


@pytest.fixture
def own_files(tmp_path, monkeypatch):
    """The README's three files and their configurations, in the folder that commands run from."""
    files = {
        "mymethods.py": "estimator",
        "myconf/estimator/token_norm.yaml": "yaml",
        "mymetrics.py": "metric",
        "myconf/metric/gini.yaml": "metric yaml",
        "mydata.py": "dataset",
        "myconf/dataset/plain_digits.yaml": "dataset yaml",
    }
    for name, shown in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(example(shown), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_an_estimator_of_ones_own_is_one_class_and_one_yaml(own_files):
    run_own(own_files / "results", "estimator=token_norm", "metric=[fidelity]", "metric.fidelity.steps=4")
    scores = pd.read_csv(own_files / "results/cells/digits_multi/digits_vit/token_norm/scores.csv")
    assert len(scores) == 6
    assert (scores["delta_A_LIF-MIF"] == 0).all()  # lengths of tokens do not know the class


def test_a_metric_of_ones_own_has_its_column_its_paired_test_and_its_place_in_the_figures(own_files):
    results = own_files / "results"
    for estimator in ("cdam", "token_norm"):
        run_own(results, f"estimator={estimator}", "metric=[compactness]")
        run_own(results, f"estimator={estimator}", "metric=[gini]")  # added to a finished cell
    scores = pd.read_csv(results / "cells/digits_multi/digits_vit/cdam/scores.csv")
    assert scores["gini"].between(0, 1).all()
    (comparison,) = read_comparisons(results)
    folder = write_tables([comparison], own_files / "tables")[0].parent
    table = pd.read_csv(folder / "compactness.csv").set_index(["estimator", "score"])
    assert table.loc[("cdam", "gini"), "mean"] == pytest.approx(scores["gini"].mean())
    assert table.loc[("cdam", "gini"), "low"] < table.loc[("cdam", "gini"), "high"]
    assert "Gini index" in (folder / "compactness.md").read_text(encoding="utf-8")
    (differences, *_rest) = [path for path in write_paired([comparison], own_files / "tables") if path.suffix == ".csv"]
    assert set(pd.read_csv(differences)["score"]) == {"compactness", "gini"}
    figures = dict(comparison_figures(comparison, []))
    shown = [text.get_text() for axes in figures["scores"].axes for text in axes.findobj(match=Text)]
    assert any("Gini index" in text for text in shown)


def test_a_dataset_of_ones_own_is_one_class_and_one_yaml(own_files):
    run_own(
        own_files / "results", "dataset=plain_digits", "dataset.num_images=4", "estimator=cdam", "metric=[localisation]"
    )
    scores = pd.read_csv(own_files / "results/cells/plain_digits/digits_vit/cdam/scores.csv")
    assert scores["image"].tolist() == [f"scan-{i:04d}" for i in range(4)]
    assert scores["target"].tolist() == [0, 1, 2, 3]  # scikit-learn's first scans
    assert (scores["box_area"] == 0.25).all()


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", README))
def test_every_linked_file_is_there(link):
    assert (ROOT / link).exists()


def test_the_tables_are_the_committed_ones():
    assert check_tables(README) == README.count("<!-- table:") > 0


def test_the_tables_of_the_findings_are_the_committed_ones():
    findings = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert check_tables(findings) == findings.count("<!-- table:") > 0


def test_the_verdicts_of_the_findings_are_the_committed_tests():
    assert check_claims((ROOT / "docs" / "findings.md").read_text(encoding="utf-8")) > 20


FAMILY_COLUMNS = [
    ("cdam", "delta_A_LIF-MIF_patch", 0),
    ("cdam", "delta_A_box", 1),
    ("cdam", "right_box", 2),
    ("integrated_cdam", "right_box", 2),
    ("gradcam", "right_box", 2),
    ("random", "right_box", 2),
]


def test_the_scores_of_the_families_are_the_committed_ones():
    page = (ROOT / "docs" / "families.md").read_text(encoding="utf-8")
    folders = sorted(path for path in (ROOT / "results" / "reference" / "families").iterdir() if path.is_dir())
    assert len(folders) == 5
    for folder in folders:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{folder.name}` | ") and "[" in line]
        shown = [cell.strip() for cell in row.strip("|").split("|")][-len(FAMILY_COLUMNS) :]
        values = committed(f"families/{folder.name}", "means").set_index(["estimator", "score"])
        for (method, score, decimals), cell in zip(FAMILY_COLUMNS, shown, strict=True):
            mean, low, high = (f"{values.loc[(method, score)][name]:.{decimals}f}" for name in ("mean", "low", "high"))
            assert cell.replace("−", "-") == f"{mean} [{low}, {high}]", (folder.name, method, score)


def test_the_attention_shares_of_the_findings_are_the_committed_ones():
    findings = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    files = sorted((ROOT / "results" / "reference" / "attention_share").glob("*.csv"))
    assert len(files) == 3
    for file in files:
        share = pd.read_csv(file).set_index("measure").loc["attention_share"]
        mean, low, high = (round(100 * share[name]) for name in ("mean", "low", "high"))
        (row,) = [line for line in findings.splitlines() if line.startswith(f"| `{file.stem}` |")]
        assert row.endswith(f"| {mean} % [{low}, {high}] |")
