"""Cells: finished with all their chunks, refused where they are of another configuration."""

import numpy as np
import pytest

from cdam_bench.errors import UserError
from cdam_bench.store.cells import Cell, CellKey
from cdam_bench.store.chunks import EXPLAINING, IMAGE, SCORE, SECONDS
from cdam_bench.store.measured import put_together
from cdam_bench.store.results import read_cells

KEY = CellKey("digits", "digits_vit", "cdam")
DETAILS = {"num_images": 5, "chunk_size": 2, "metrics": {}}
METRIC = {"fidelity": {"steps": 4}}
IDENTITY = {"seed": 0, "metric": METRIC}


def chunk(*images, **more):
    """A chunk with one score, as a run writes it."""
    info = {IMAGE: np.array(images), SECONDS: np.array([1.0]), **more}
    return put_together(info, {"fidelity": {SCORE + "A_MIF": np.arange(len(images)) * 1.5}}, METRIC)


def test_a_cell_is_finished_only_with_all_its_chunks(tmp_path):
    cell = Cell(tmp_path, KEY).open(IDENTITY, DETAILS)
    cell.chunks.write(0, 2, chunk("a", "b"))
    cell.chunks.write(4, 5, chunk("e"))
    assert cell.finish() == [(2, 4)]
    assert not (cell.path / "scores.csv").exists()
    assert list(read_cells(tmp_path)[0].scores["image"]) == ["a", "b", "e"]
    cell.chunks.write(2, 4, chunk("c", "d"))
    assert cell.finish() == []
    (result,) = read_cells(tmp_path)
    assert result.is_complete
    assert list(result.scores["image"]) == list("abcde")
    assert result.description["seconds"] == 3.0


def timed(seconds):
    """What a chunk knows of how long its maps took."""
    return {EXPLAINING: np.array([seconds])}


def test_the_time_of_the_maps_is_kept_apart_and_for_one_image_it_is_the_median_over_chunks(tmp_path):
    cell = Cell(tmp_path, KEY).open(IDENTITY, DETAILS)
    for span, images, seconds in (((0, 2), "ab", 8.0), ((2, 4), "cd", 1.0), ((4, 5), "e", 0.25)):
        cell.chunks.write(*span, chunk(*images, **timed(seconds)))
    cell.finish()
    (result,) = read_cells(tmp_path)
    assert result.description["explaining"] == {"seconds": 9.2, "seconds_per_image": 0.5}
    assert list(result.scores) == ["image", "A_MIF"]


def test_a_cell_with_chunks_that_did_not_take_the_time_of_the_maps_says_none(tmp_path):
    cell = Cell(tmp_path, KEY).open(IDENTITY, {**DETAILS, "num_images": 4})
    cell.chunks.write(0, 2, chunk("a", "b", **timed(1.0)))
    cell.chunks.write(2, 4, chunk("c", "d"))
    cell.finish()
    (result,) = read_cells(tmp_path)
    assert "explaining" not in result.description
    assert list(result.scores) == ["image", "A_MIF"]


def test_of_maps_made_again_the_first_time_counts():
    found = chunk("a", "b", **timed(3.0))
    info = {IMAGE: np.array(["a", "b"]), SECONDS: np.array([5.0]), **timed(4.0)}
    again = put_together(info, {}, METRIC, found)
    assert (again[EXPLAINING], again[SECONDS]) == (3.0, 6.0)


def test_names_are_read_back_as_text(tmp_path):
    cell = Cell(tmp_path, KEY).open(IDENTITY, {**DETAILS, "num_images": 2})
    cell.chunks.write(0, 2, chunk("007", "NA", **{"info/target": np.array(["3", "NA"])}))
    cell.finish()
    (result,) = read_cells(tmp_path)
    assert result.scores["image"].tolist() == ["007", "NA"]
    assert result.scores["target"].tolist() == ["3", "NA"]


def test_another_configuration_over_results_is_refused_and_named(tmp_path):
    Cell(tmp_path, KEY).open(IDENTITY | {"estimator": {"num_steps": 50}}, DETAILS)
    with pytest.raises(UserError, match=r"estimator\.num_steps: 50 → 10.*overwrite=true.*results_dir"):
        Cell(tmp_path, KEY).open(IDENTITY | {"estimator": {"num_steps": 10}}, DETAILS)


def test_overwrite_replaces_results_of_another_configuration(tmp_path):
    cell = Cell(tmp_path, KEY).open(IDENTITY, DETAILS)
    cell.chunks.write(0, 2, chunk("a", "b"))
    fresh = Cell(tmp_path, KEY).open({**IDENTITY, "seed": 1}, DETAILS, overwrite=True)
    assert fresh.read_chunks() == [None, None, None]


def test_the_chunk_size_a_cell_was_begun_with_stays(tmp_path):
    Cell(tmp_path, KEY).open(IDENTITY, DETAILS)
    again = Cell(tmp_path, KEY).open(IDENTITY, {**DETAILS, "chunk_size": 5})
    assert again.ranges() == [(0, 2), (2, 4), (4, 5)]


def test_a_cell_of_another_format_is_refused_in_one_line(tmp_path):
    cell = Cell(tmp_path, KEY).open(IDENTITY, DETAILS)
    file = cell.path / "cell.yaml"
    file.write_text(file.read_text().replace("format: 2", "format: 99"))
    with pytest.raises(UserError, match="format 99"):
        Cell(tmp_path, KEY).open(IDENTITY, DETAILS)


def test_a_damaged_description_is_an_error_naming_the_file(tmp_path):
    cell = Cell(tmp_path, KEY).open(IDENTITY, DETAILS)
    (cell.path / "cell.yaml").write_bytes(b"\xff\xfe:")
    with pytest.raises(UserError, match=r"cell\.yaml is damaged"):
        Cell(tmp_path, KEY).open(IDENTITY, DETAILS)
