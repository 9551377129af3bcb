"""The commands turn a results folder that the runner filled into tables, figures and a page."""

import re
from pathlib import Path

import pytest
import yaml

from tests.runs import cdam_bench
from tests.scripts import command


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for estimator in ("cdam", "attention_map"):
        assert cdam_bench(folder, f"estimator={estimator}", "dataset.num_images=2") == 0
    return folder


def test_tables_writes_and_prints_them(results, capsys):
    assert command("tables", f"results_dir={results}") == 0
    printed = capsys.readouterr().out
    folder = results / "tables" / "digits_multi" / "digits_vit"
    for table in ("correctness", "class_discrimination", "compactness"):
        assert (folder / f"{table}.md").read_text() in printed
        assert str(folder / f"{table}.csv") in printed
    assert "| Attention map | 0.0 [0.0, 0.0] |" in (folder / "class_discrimination.md").read_text()


def test_one_dataset_alone_can_be_asked_for(results, capsys):
    assert command("tables", f"results_dir={results}", "only=digits_multi", f"output_dir={results / 'one'}") == 0
    assert (results / "one" / "digits_multi").is_dir()
    capsys.readouterr()
    assert command("tables", f"results_dir={results}", "only=digit") == 2
    assert "no results of dataset digit: did you mean digits_multi?" in capsys.readouterr().err


def test_report_shows_tables_figures_and_what_was_run(results):
    assert command("report", f"results_dir={results}", "num_images=1") == 0
    page = results / "report" / "index.md"
    text = page.read_text()
    links = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    names = {"maps", "scores", "fidelity_pixel", "fidelity_pixel_methods", "box_sensitivity", "cost"}
    assert {Path(link).stem for link in links} == names
    assert all((page.parent / link).is_file() for link in links)
    assert "### Correctness" in text
    assert re.search(r"\| CDAM \| 2 \| \d", text)


def test_figures_of_a_method_that_is_gone_exit_with_2_and_draw_the_others(results, capsys):
    file = results / "cells" / "digits_multi" / "digits_vit" / "attention_map" / "cell.yaml"
    before = file.read_text()
    description = yaml.safe_load(before)
    description["identity"]["estimator"] = {"_target_": "my_lost_methods.Mine"}
    file.write_text(yaml.safe_dump(description, sort_keys=False))
    try:
        assert command("figures", f"results_dir={results}", "num_images=1") == 2
    finally:
        file.write_text(before)
    assert "error: no maps of Attention map on digits_multi · digits_vit: " in capsys.readouterr().err
    assert (results / "figures" / "digits_multi" / "digits_vit" / "maps.png").is_file()


@pytest.mark.parametrize("name", ["tables", "figures", "report"])
def test_an_empty_results_folder_gives_one_line_and_status_2(name, tmp_path, capsys):
    assert command(name, f"results_dir={tmp_path / 'empty'}") == 2
    told = capsys.readouterr().err.strip()
    assert "\n" not in told
    assert "cdam-bench sweep" in told
    assert not (tmp_path / "empty").exists()
