"""What the pages of docs/ show works as it stands there."""

import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from hydra.utils import get_class
from matplotlib.text import Text

from cdam_bench.backbones.families import FOR_EVERY_FAMILY
from cdam_bench.cli import main
from cdam_bench.configs import config_dir
from cdam_bench.drawing.names import display_name
from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.figures import comparison_figures
from cdam_bench.reporting.paired import write_paired
from cdam_bench.reporting.tables import write_tables
from tests.documented import DOCS, commands, compose_command, example, page, pages

COMMANDS = sorted(
    {words: name for name in pages() if name != "README.md" for words in commands(page(name))}.items(),
    key=lambda shown: (shown[1], shown[0]),
)
OWN_FILES = {
    "mymethods.py": ("docs/own_method.md", "estimator"),
    "myconf/estimator/token_norm.yaml": ("docs/own_method.md", "yaml"),
    "mymetrics.py": ("docs/own_metric.md", "metric"),
    "myconf/metric/gini.yaml": ("docs/own_metric.md", "metric yaml"),
    "mydata.py": ("docs/own_dataset.md", "dataset"),
    "myconf/dataset/plain_digits.yaml": ("docs/own_dataset.md", "dataset yaml"),
    "myconf/backbone/owls.yaml": ("docs/own_model.md", "backbone yaml"),
}


def run(*words):
    """`cdam-bench` in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [])
        main([*words])


def run_own(results_dir, *overrides):
    """`cdam-bench run` with the pages' own files, on few images."""
    run("run", "--config-dir", "myconf", f"results_dir={results_dir}", "dataset.num_images=6", *overrides)


@pytest.fixture
def own_files(tmp_path, monkeypatch):
    """The pages' files and their configurations, in the folder that commands run from."""
    for name, (shown_on, shown) in OWN_FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(example(page(shown_on), shown), encoding="utf-8")
    (tmp_path / "docs").symlink_to(DOCS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_commands_were_found():
    assert len(COMMANDS) > 60
    assert len({name for _words, name in COMMANDS}) > 12


@pytest.mark.parametrize(
    "words",
    [words for words, _name in COMMANDS if "--config-dir" not in words],
    ids=[f"{name}: {' '.join(words)}" for words, name in COMMANDS if "--config-dir" not in words],
)
def test_every_command_is_understood(words):
    compose_command(words)


def test_an_estimator_of_ones_own_is_one_class_and_one_yaml(own_files):
    run_own(own_files / "results", "estimator=token_norm", "metric=[fidelity]", "metric.fidelity.steps=4")
    scores = pd.read_csv(own_files / "results/cells/digits_multi/digits_vit/token_norm/scores.csv")
    assert len(scores) == 6
    assert (scores["delta_A_LIF-MIF"] == 0).all()  # lengths of tokens do not know the class


def test_a_method_of_ones_own_explains_a_picture(own_files):
    (shown,) = [words for words in commands(page("docs/own_method.md")) if words[0] == "explain"]
    run(*shown)
    assert list((own_files / "outputs").rglob("*.npz"))


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


def test_a_model_of_ones_own_goes_in_as_an_object(own_files):
    exec(compile(example(page("docs/own_model.md"), "own model"), "own_model.md", "exec"), {})
    (file,) = (own_files / "outputs" / "own_model").glob("*.npz")
    assert sorted(np.load(file)) == ["cdam/0", "cdam/2", "gradcam/0", "gradcam/2"]


@pytest.mark.usefixtures("own_files")
def test_a_model_of_ones_own_has_a_short_name(capsys):
    run("run", "--config-dir", "myconf", "backbone=owls", "dataset=image_folder", "--cfg", "job")
    settings = yaml.safe_load(capsys.readouterr().out)
    assert settings["backbone"]["architecture"] == "vit_small_patch16_224"
    assert settings["backbone"]["checkpoint"] == "/models/owls.safetensors"
    assert settings["backbone"]["name"] == "owls"
    assert settings["backbone"]["preprocessing"]["_target_"].endswith("TimmPreprocessing")


def rows(name, columns):
    """Rows of the table of a page whose second, or else first, cell is a method's name; by that name."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page(name).splitlines() if line[:1] == "|"
    ]
    return {
        cell.strip("`"): row
        for row in lines
        if len(row) == columns
        for cell in row[:2]
        if cell[:1] == "`" and cell[-1] == "`"
    }


def test_the_table_of_choice_says_what_the_code_and_the_pages_of_methods_and_families_say():
    shown, told = rows("docs/choosing.md", 6), rows("docs/methods.md", 9)
    shown.pop("estimator=")
    configured = {file.stem: yaml.safe_load(file.read_text()) for file in (config_dir() / "estimator").glob("*.yaml")}
    assert sorted(shown) == sorted(configured)
    for name, (method, _key, class_aware, signed, passes, families) in shown.items():
        cls = get_class(configured[name]["_target_"])
        assert method == display_name(name)
        assert (class_aware, signed) == tuple("yes" if true else "no" for true in (cls.class_aware, cls.signed))
        assert passes == told[name][5]
        assert families == ("every" if name in FOR_EVERY_FAMILY else "ViT, [CLS]")
