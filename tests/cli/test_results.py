"""The commands turn a results folder that the runner filled into tables, figures and a page."""

import pytest
import yaml

from tests.reporting.page.pages import data_of
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


def test_report_is_one_page_with_numbers_curves_and_maps(results, capsys):
    assert command("report", f"results_dir={results}", "gallery=1") == 0
    page = results / "report" / "index.html"
    assert capsys.readouterr().out == f"{page}\n"
    (comparison,) = data_of(page.read_text(encoding="utf-8"))["comparisons"]
    assert comparison["complete"] == ["cdam", "attention_map"]
    assert {table["name"] for table in comparison["tables"]} >= {"correctness", "class_discrimination"}
    assert {curve["name"] for curve in comparison["curves"]} == {"fidelity_pixel", "box_r"}
    (image,) = comparison["gallery"]["images"]
    assert set(image["maps"]) == {"cdam", "attention_map"}
    assert len(image["targets"]) == 2
    assert [path.name for path in page.parent.iterdir()] == ["index.html"]


@pytest.mark.parametrize("setting", ["gallery=-1", "gallery=some", "gallery_seconds=-1", "estimators=[cdan]"])
def test_report_refuses_a_wrong_setting_in_one_line(results, capsys, setting):
    assert command("report", f"results_dir={results}", setting) == 2
    told = capsys.readouterr().err.strip()
    assert "\n" not in told
    assert setting.partition("=")[0] in told


def test_a_folder_of_something_else_gives_one_line_and_status_2(tmp_path, capsys):
    (tmp_path / "cells" / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "cells" / "a" / "b" / "c" / "notes.txt").write_text("mine")
    assert command("report", f"results_dir={tmp_path}") == 2
    assert "has no results yet" in capsys.readouterr().err
    (tmp_path / "cells" / "a" / "b" / "c" / "cell.yaml").write_text("my: own")
    assert command("report", f"results_dir={tmp_path}") == 2
    told = capsys.readouterr().err.strip()
    assert "\n" not in told
    assert "cell.yaml" in told
    assert not (tmp_path / "report").exists()


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
