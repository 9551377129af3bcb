"""A results folder that version 0.1.0 wrote (results_0_1_0/, one cell of it not finished) is still read."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import yaml

from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.formats import to_markdown
from cdam_bench.reporting.means import make_tables
from cdam_bench.reporting.paired import write_paired
from cdam_bench.reporting.tables import write_tables
from cdam_bench.reporting.version_0_1 import output_kind, upgraded
from tests.scripts import command

OLD_RESULTS = Path(__file__).parent / "results_0_1_0"
TABLES = OLD_RESULTS / "tables"  # as 0.1.0 wrote them
CELL = Path("cells/digits_multi/digits_vit/cdam/cell.yaml")
ENDS = ("low", "high")
NUMBERS = ("mean", "difference", *ENDS)
SHARES = (
    "right_box",
    "other_right_box",
    "pointing_game",
)  # their intervals were bootstraps: [1, 1] where all images are right
CORRECTED = ("p_holm", "best")  # was corrected score by score


@pytest.fixture
def results(tmp_path):
    shutil.copytree(OLD_RESULTS, tmp_path / "results", ignore=shutil.ignore_patterns("tables"))
    return tmp_path / "results"


def rows_of(file):
    """Rows of a CSV; apart its numbers, which may differ by rounding, those that are made as they were."""
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    numbers = [
        float(row[name] or "nan")
        for row in rows
        for name in NUMBERS
        if name in row and not (name in ENDS and row["score"] in SHARES)
    ]
    rest = [{name: text for name, text in row.items() if name not in (*NUMBERS, *CORRECTED)} for row in rows]
    p_values = [float(row["p_holm"]) for row in rows if "p_holm" in row]
    return rest, numbers, p_values + [row["best"] != "true" for row in rows if "best" in row]


@pytest.mark.parametrize("table", sorted(path.name for path in TABLES.rglob("*.csv")))
def test_tables_are_those_that_it_wrote_but_for_intervals_of_shares_and_what_is_corrected_together(
    results, tmp_path, table
):
    comparisons = read_comparisons(results)
    write_tables(comparisons, tmp_path / "tables")
    write_paired(comparisons, tmp_path / "tables")
    folder = Path("digits_multi") / "digits_vit"
    rows, numbers, corrected = rows_of(tmp_path / "tables" / folder / table)
    expected_rows, expected, before = rows_of(TABLES / folder / table)
    assert len(expected) > 5
    assert [{name: row[name] for name in old} for row, old in zip(rows, expected_rows, strict=True)] == expected_rows
    assert numbers == pytest.approx(expected, rel=1e-6, nan_ok=True)
    assert all(now >= then for now, then in zip(corrected, before, strict=True))


def test_an_unfinished_cell_is_never_headed_as_if_it_were_finished(results):
    (comparison,) = read_comparisons(results)
    text = to_markdown(make_tables(comparison)[0])
    assert "Mean over 6 or 4 of 6 images" in text
    assert "| GradCAM (4 of 6) |" in text


def test_curves_scores_and_maps_are_drawn(results, capsys):
    assert command("figures", f"results_dir={results}", "num_images=1") == 0
    assert capsys.readouterr().err == ""
    names = {path.stem for path in (results / "figures").rglob("*.png")}
    assert names == {"scores", "fidelity_pixel", "fidelity_pixel_methods", "box_sensitivity", "maps"}


def test_status_reads_it(results, capsys):
    assert command("status", f"results_dir={results}", "json=true") == 0
    states = {cell["estimator"]: (cell["state"], cell["done"]) for cell in json.loads(capsys.readouterr().out)}
    assert states == {"cdam": ("done", 6), "attention_map": ("done", 6), "gradcam": ("partial", 4)}


@pytest.mark.parametrize(
    ("dataset", "head", "kind"),
    [
        ({"_target_": "cdam_bench.datasets.DigitScenes"}, None, "classes"),
        ({"_target_": "cdam_bench.datasets.DigitScenes"}, {"file": "head.safetensors", "sha256": "0"}, "classes"),
        (
            {"_target_": "cdam_bench.datasets.DigitScenes"},
            {"_target_": "cdam_bench.concepts.ConceptSource"},
            "concepts",
        ),
        ({"_target_": "cdam_bench.datasets.LidcNodules", "task": "malignancy"}, None, "labels"),
        ({"_target_": "cdam_bench.datasets.LidcNodules", "task": "biomarkers"}, None, "quantities"),
    ],
)
def test_the_kind_of_outputs_follows_from_dataset_and_head(dataset, head, kind):
    assert output_kind({"dataset": dataset, "backbone": {"head": head}}) == kind


def test_scores_of_a_metric_that_is_not_here_stand_by_their_bare_names(results):
    for file in results.glob("cells/*/*/*/cell.yaml"):
        description = yaml.safe_load(file.read_text())
        description["identity"]["metric"]["compactness"] = {"_target_": "my_lost_metrics.Mine"}
        file.write_text(yaml.safe_dump(description, sort_keys=False))
    (
        results / "cells/digits_multi/digits_vit/gradcam/cell.yaml"
    ).unlink()  # its chunks are stamped with the old settings
    (comparison,) = read_comparisons(results)
    tables = {table.name: [column.name for column in table.columns] for table in make_tables(comparison)}
    assert tables["further_scores"] == ["compactness"]
    assert "A_MIF" in tables["correctness"]


def test_a_description_of_this_version_is_left_as_it_is():
    description = {"format": 2, "identity": {}, "outputs": "labels"}
    assert upgraded(description) is description
