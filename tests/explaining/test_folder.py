"""A folder of pictures, some of which cannot be explained."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.datasets.test_concepts import save_pictures
from tests.scripts import command


@pytest.fixture
def folder(tmp_path):
    """Three pictures, and between them one that is none."""
    made = save_pictures(tmp_path / "pictures", 3)
    (made / "1_broken.png").write_bytes(b"not a picture")
    return made


@pytest.fixture
def explain(tmp_path):
    def run(*words):
        return command("explain", f"output_dir={tmp_path / 'out'}", "estimator=cdam", "figure.style=maps", *words)

    return run


def explained(tmp_path):
    return sorted(path.stem for path in (tmp_path / "out").glob("*.json"))


def one_line(capsys):
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def test_the_others_are_explained_and_the_impossible_one_is_listed_at_the_end(explain, folder, tmp_path, capsys):
    assert explain(f"image={folder}") == 2
    assert explained(tmp_path) == ["0", "1", "2"]
    line = one_line(capsys)
    assert "1 of 4 pictures could not be explained: 1_broken.png: cannot be read (not a picture)" in line


@pytest.mark.parametrize("word", ["skip=true", "--skip"])
def test_skip_names_what_was_left_out_and_is_no_error(word, explain, folder, tmp_path, capsys):
    assert explain(f"image={folder}", word) == 0
    assert explained(tmp_path) == ["0", "1", "2"]
    assert "skipped: 1 of 4 pictures could not be explained: 1_broken.png" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["fail_fast=true", "--fail-fast"])
def test_fail_fast_stops_at_the_first(word, explain, folder, tmp_path, capsys):
    assert explain(f"image={folder}", word) == 2
    assert explained(tmp_path) == ["0", "1"]  # by name: 0, 1, 1_broken, 2
    assert "1_broken.png cannot be read" in one_line(capsys)


def test_pictures_of_one_trouble_are_listed_together(explain, folder, capsys):
    (folder / "3_broken.png").write_bytes(b"")
    (folder / "4_cut.png").write_bytes((folder / "0.png").read_bytes()[:100])
    assert explain(f"image={folder}") == 2
    line = one_line(capsys)
    assert "3 of 6 pictures" in line
    assert "1_broken.png, 3_broken.png: cannot be read (not a picture)" in line
    assert "4_cut.png: cannot be read (" in line


def test_where_no_picture_can_be_explained_skip_is_an_error_too(explain, tmp_path, capsys):
    (tmp_path / "none").mkdir()
    for name in "ab":
        (tmp_path / "none" / f"{name}.png").write_bytes(b"")
    assert explain(f"image={tmp_path / 'none'}", "skip=true") == 2
    assert "2 of 2 pictures" in one_line(capsys)


def test_a_picture_too_small_for_a_patch_is_listed_with_the_others(explain, folder, tmp_path, capsys):
    Image.fromarray(np.zeros((3, 3, 3), np.uint8)).save(folder / "3.png")
    (folder / "1_broken.png").unlink()
    assert explain(f"image={folder}", "image_size=native") == 2
    assert "3.png: " in (line := one_line(capsys))
    assert "smaller than one patch of 8" in line
    assert explained(tmp_path) == ["0", "1", "2"]


@pytest.mark.parametrize("wrong", ["target=zebra", "class_names=[a,b]", "image_size=huge"])
def test_what_is_wrong_for_all_pictures_is_told_once(wrong, explain, tmp_path, capsys):
    assert explain(f"image={save_pictures(tmp_path / 'pictures', 3)}", wrong) == 2
    lines = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("error: ") for line in lines) == 1
    assert not (tmp_path / "out").exists()


def test_skip_and_fail_fast_exclude_each_other(explain, folder, capsys):
    assert explain(f"image={folder}", "skip=true", "fail_fast=true") == 2
    assert "choose one" in one_line(capsys)


def test_plain_maps_of_a_folder_have_the_pictures_size(explain, tmp_path):
    pictures = save_pictures(tmp_path / "pictures", 2)
    assert explain(f"image={pictures}", "target=3", "image_size=native") == 0
    drawn = {path.name: path for path in (tmp_path / "out").glob("*.png")}
    assert set(drawn) == {"0_cdam_3.png", "1_cdam_3.png"}
    about = json.loads((tmp_path / "out/0.json").read_text())
    with Image.open(drawn["0_cdam_3.png"]) as saved:
        assert [saved.height, saved.width] == about["size"]
