"""The committed scores give the committed tables' numbers."""

from pathlib import Path

import pytest

from cdam_bench.reporting.comparisons import compare
from cdam_bench.reporting.sharing.exported import read_export
from cdam_bench.reporting.tables import write_tables

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
