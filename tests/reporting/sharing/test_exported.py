"""An exported file has every score in full, and what the tables need: they are the folder's, byte for byte."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from cdam_bench.errors import UserError
from cdam_bench.reporting.comparisons import compare, read_comparisons
from cdam_bench.reporting.outputs import write_outputs
from cdam_bench.reporting.paired import write_paired
from cdam_bench.reporting.ranking import write_rankings
from cdam_bench.reporting.sharing.exported import read_export, write_export
from cdam_bench.reporting.tables import write_tables
from tests.reporting.stores import write_cell
from tests.runs import files_below

COUNT = 8
SUFFIXES = ("parquet", "csv")
WRITERS = (write_tables, write_paired, write_outputs, write_rankings)


def scores_of(seed):
    rng = np.random.default_rng(seed)
    named = {name: rng.normal(10, 3, COUNT) for name in ("A_MIF", "A_LIF", "A_LIF-MIF", "A_box", "mean_r")}
    named["positive_share"], named["pointing_game"] = rng.uniform(size=COUNT), rng.integers(2, size=COUNT)
    named["mean_r"][seed % COUNT] = np.nan
    return named


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Names that look like numbers or like CSV, undefined and unmeasured scores, a partial cell, two configurations, quantities."""
    folder = tmp_path_factory.mktemp("results")
    hard = ('zebra, "plains"\nor not', "7")
    for seed, estimator in enumerate(("cdam", "gradcam", "smoothgrad", "7")):
        write_cell(folder, estimator, scores_of(seed), dataset="scenes", targets=2, names=hard)
    write_cell(folder, "attention_map", scores_of(5), dataset="scenes", targets=2, names=hard, done=4)
    write_cell(folder, "rise", {**scores_of(6), "mine": np.arange(COUNT) / 3}, dataset="scenes", settings={"seed": 1})
    write_cell(folder, "cdam", scores_of(7))
    sizes = {"A_LIF-MIF": np.arange(COUNT), "other_A_LIF-MIF": np.arange(COUNT) ** 2}
    write_cell(folder, "cdam", sizes, dataset="nodules", targets=2, names=("size", "shape"), outputs="quantities")
    return folder


@pytest.fixture(scope="module", params=SUFFIXES)
def exported(store, tmp_path_factory, request):
    path = tmp_path_factory.mktemp("exported") / f"scores.{request.param}"
    write_export(read_comparisons(store), path)
    return path


def test_tables_and_rankings_made_from_the_file_are_those_of_the_folder_byte_for_byte(store, exported, tmp_path):
    for name, comparisons in {"folder": read_comparisons(store), "file": compare(read_export(exported))}.items():
        for write in WRITERS:
            write(comparisons, tmp_path / name)
    of_folder, of_file = (files_below(tmp_path / name) for name in ("folder", "file"))
    assert len(of_folder) > 30
    assert of_file == of_folder
    assert any(b"At 100 % perturbation" in text for text in of_file.values())  # from the curves, which the file has not


def test_pandas_reads_a_row_per_image_with_every_score_to_the_last_digit(exported):
    read = pd.read_parquet if exported.suffix == ".parquet" else pd.read_csv
    frame = read(exported)
    assert len(frame) == 7 * COUNT + 4
    assert not frame.duplicated(["dataset", "backbone", "estimator", "image"]).any()
    own = frame[(frame["dataset"] == "scenes") & (frame["estimator"] == "gradcam")]
    expected = scores_of(1)
    for name, values in expected.items():
        np.testing.assert_array_equal(own[name].to_numpy(float), values)
    assert own["target"].unique().tolist() == ['zebra, "plains"\nor not']
    assert own["mine"].isna().all()


def test_what_is_not_finished_is_marked(exported):
    read = pd.read_parquet if exported.suffix == ".parquet" else pd.read_csv
    marked = read(exported).groupby("estimator")["complete"].agg(["all", "any"])
    assert not marked.loc["attention_map"].any()
    assert marked.drop("attention_map").all(axis=None)


def test_parquet_tells_undefined_from_unmeasured(store, tmp_path):
    write_export(read_comparisons(store), tmp_path / "scores.parquet")
    table = pq.read_table(tmp_path / "scores.parquet")
    unmeasured = table["mine"].null_count
    assert unmeasured == len(table) - COUNT
    measured = table.filter(~np.array(table["dataset"]).astype(str).__eq__("nodules"))
    assert measured["mean_r"].null_count == 0
    assert np.isnan(measured["mean_r"].to_numpy()).sum() >= 5


def test_settings_versions_and_the_meaning_of_columns_are_in_the_file(exported):
    if exported.suffix == ".parquet":
        about = json.loads(pq.read_schema(exported).metadata[b"cdam_bench"])
    else:
        about = json.loads(exported.with_suffix(".json").read_text(encoding="utf-8"))
    seeds = {(one["dataset"], one["settings"]["seed"]): one for one in about["comparisons"]}
    assert set(seeds) == {("scenes", 0), ("scenes", 1), ("digits", 0), ("nodules", 0)}
    told = seeds["scenes", 0]
    assert told["in_common"]["versions"] == {"cdam_bench": "0.2.0", "torch": "2.0"}
    assert told["estimators"]["gradcam"]["settings"] == {"_target_": "gradcam"}
    assert (told["estimators"]["attention_map"]["complete"], told["estimators"]["cdam"]["complete"]) == (False, True)
    assert about["columns"]["A_MIF"]["better"] == "low"
    assert about["columns"]["other_A_LIF-MIF"]["meaning"] == "A_LIF-MIF, of the other target"
    assert about["columns"]["target_logit"]["meaning"] == "output of the target for the image as it is"


def test_an_exported_cell_has_no_curves(exported):
    with pytest.raises(UserError, match="has scores but no curves"):
        read_export(exported)[0].curves()


def test_files_that_are_none_of_ours_are_told_in_one_line(exported, tmp_path):
    with pytest.raises(UserError, match=r"must end in \.parquet or \.csv"):
        read_export(tmp_path / "scores.xlsx")
    with pytest.raises(UserError, match="there is no such file"):
        read_export(tmp_path / "scores.csv")
    whole = exported.read_bytes()
    copy = tmp_path / exported.name
    copy.write_bytes(whole[: len(whole) // 2])
    if exported.suffix == ".csv":
        with pytest.raises(UserError, match=r"its settings, scores\.json, are not beside it"):
            read_export(copy)
        copy.with_suffix(".json").write_bytes(exported.with_suffix(".json").read_bytes())
    with pytest.raises(UserError, match=r"of the 8 images|is damaged|is not what"):
        read_export(copy)
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(UserError, match="is not what `cdam-bench export` writes"):
        read_export(tmp_path / "other.parquet")


@pytest.mark.parametrize("change", ["dataset", "table", "format"])
def test_a_file_of_a_later_version_or_that_would_write_elsewhere_is_not_read(change, store, tmp_path):
    path = tmp_path / "scores.csv"
    write_export(read_comparisons(store, "digits"), path)
    about = json.loads(path.with_suffix(".json").read_text())
    (comparison,) = about["comparisons"]
    if change == "dataset":
        comparison["dataset"] = "../digits"
        path.write_text(path.read_text().replace("\ndigits,", "\n../digits,"))
    elif change == "table":
        comparison["in_common"]["metrics"]["fidelity"]["columns"][0]["table"] = "/tmp/evil"
    else:
        about["format"] = 99
    path.with_suffix(".json").write_text(json.dumps(about))
    with pytest.raises(UserError, match="exported in format 99" if change == "format" else "no name of a file"):
        read_export(path)


def test_a_column_that_is_named_as_one_of_the_file_is_refused(tmp_path):
    write_cell(tmp_path, "cdam", {"variant": np.ones(COUNT)})
    with pytest.raises(UserError, match="a metric's column is named variant"):
        write_export(read_comparisons(tmp_path), tmp_path / "scores.csv")
    assert not (tmp_path / "scores.csv").exists()
