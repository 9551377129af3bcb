"""The committed scores give the committed tables' numbers."""

import csv
from pathlib import Path

import pytest

from cdam_bench.reporting.comparisons import compare
from cdam_bench.reporting.sharing.exported import read_export
from cdam_bench.reporting.tables import write_tables
from tests.documented import example, page

REFERENCE = Path(__file__).parents[3] / "results" / "reference"
FOLDERS = {
    "methods": {
        ("digits_multi", "digits_vit"): "methods_digits_multi",
        ("cifar10_grid", "cifar10_vit"): "methods_cifar10_grid",
    },
    "demo": {
        ("digits", "digits_vit"): "digits",
        ("digits_multi", "digits_vit"): "digits_multi",
        ("digits_multi", "digits_vit_shallow"): "digits_multi_shallow",
    },
}


@pytest.mark.parametrize("name", FOLDERS)
def test_committed_scores_give_the_committed_tables(name, tmp_path):
    comparisons = compare(read_export(REFERENCE / f"{name}_scores.parquet"))
    assert {(one.dataset, one.backbone) for one in comparisons} == set(FOLDERS[name])
    write_tables(comparisons, tmp_path)
    for (dataset, backbone), folder in FOLDERS[name].items():
        made = {file.name: file.read_text() for file in (tmp_path / dataset / backbone).glob("*.csv")}
        assert len(made) >= 3
        assert made == {file: (REFERENCE / folder / file).read_text() for file in made}


def test_the_pages_example_of_pandas_gives_the_committed_means(monkeypatch, capsys):
    monkeypatch.chdir(REFERENCE.parents[1])
    exec(example(page("docs/sharing.md"), "pandas"), {})
    shown = dict(line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(("cdam ", "random ")))
    with (REFERENCE / "methods_digits_multi" / "correctness.csv").open(newline="") as file:
        means = {row["estimator"]: float(row["mean"]) for row in csv.DictReader(file) if row["score"] == "A_box"}
    assert {name: float(value) for name, value in shown.items()} == pytest.approx(
        {name: means[name] for name in ("cdam", "random")}, abs=1e-5
    )
