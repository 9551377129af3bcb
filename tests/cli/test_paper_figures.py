"""`cdam-bench paper-figures` from the command line: a results folder of an earlier version, end to end, and wrong settings."""

import re
from pathlib import Path

import pytest

from tests.scripts import command

RESULTS = Path(__file__).parents[1] / "reporting" / "results_0_1_0"


def figures(tmp_path, *settings):
    return command("paper-figures", f"results_dir={RESULTS}", f"output_dir={tmp_path}", "scatter_images=2", *settings)


def test_a_results_folder_gives_its_figures_and_a_line_for_every_other(tmp_path, capsys):
    assert figures(tmp_path, "num_images=1") == 0
    folder = tmp_path / "digits_multi" / "digits_vit"
    names = {"figure_1.pdf", "figure_3.pdf", "figure_S1.pdf", "figure_S2.pdf", "figure_S3.pdf", "figures.tex"}
    assert {path.name for path in folder.glob("figure*")} >= names
    told = capsys.readouterr()
    assert "figure S14 (maps of all methods with SWAG): left out, it needs cells of a SWAG backbone" in told.out
    assert re.fullmatch(r"(\S.*\n)*", told.out)
    assert "GradCAM (" in (folder / "figures.tex").read_text()  # its cell is not finished


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("figures=[S99]", "figures=S99 is unknown"),
        ("figures=[4]", "figure 4 (maps of concepts): left out, it needs cells of a concept head"),
        ("page_cm=1", "page_cm=1: must be between 4 and 60"),
        ("num_images=0", "num_images=0: must be a positive whole number"),
        ("images=[nobody]", "images=nobody: no cell has measured it"),
        ("estimators=[cdma]", "estimators=cdma: no results of it here: did you mean cdam"),
        ("only=digit", "no results of dataset digit: did you mean digits_multi"),
    ],
)
def test_a_wrong_setting_is_told_in_a_line(tmp_path, capsys, setting, message):
    assert figures(tmp_path, setting) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert message in told
    assert len(told.splitlines()) == 1


def test_an_empty_folder_is_told_in_a_line(tmp_path, capsys):
    assert command("paper-figures", f"results_dir={tmp_path}", f"output_dir={tmp_path}") == 2
    assert "has no results yet" in capsys.readouterr().err
