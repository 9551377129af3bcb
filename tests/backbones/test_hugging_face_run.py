"""`cdam-bench run backbone=hf`: a folder's model from its files to a finished cell."""

import json

import pytest
import yaml

from tests.backbones.hugging_face_models import make, save
from tests.backbones.test_hugging_face_preprocessing import picture
from tests.backbones.test_text_head import save_tokenizer
from tests.runs import cdam_bench, files_below
from tests.scripts import command

NAMES = ["cat", "dog", "owl", "fox", "cow"]
FEW = (
    "dataset=image_folder",
    "dataset.num_images=3",
    "estimator=cdam",
    "metric.box_sensitivity=null",
    "metric.compactness=null",
    "metric.fidelity.steps=2",
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(3):
        picture(60 + 9 * index, 70).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    model = make("vit")
    model.config.id2label = dict(enumerate(NAMES))
    return save(model, tmp_path_factory.mktemp("weights") / "my vit")


def run(results, model, pictures, *overrides):
    return cdam_bench(
        results, *FEW, "backbone=hf", f"backbone.path='{model}'", f"dataset.folder={pictures}", *overrides
    )


def test_a_run_ends_in_a_cell_that_is_named_after_the_folder_and_keeps_its_settings(model_folder, pictures, tmp_path):
    assert run(tmp_path, model_folder, pictures) == 0
    cell = tmp_path / "cells" / "image_folder" / "my vit" / "cdam"
    backbone = yaml.safe_load((cell / "cell.yaml").read_text())["identity"]["backbone"]
    assert backbone["path"]["file"] == "my vit"
    assert (backbone["image_size"], backbone["preprocessing"]["mean"]) == (32, [0.5, 0.5, 0.5])
    assert str(model_folder.parent) not in (cell / "cell.yaml").read_text()
    rows = (cell / "scores.csv").read_text().splitlines()
    assert len(rows) == 4
    assert all(any(name in row for name in NAMES) for row in rows[1:])  # predicted classes by id2label
    before = files_below(cell)
    assert run(tmp_path, model_folder, pictures) == 0
    assert files_below(cell) == before  # finished: skipped


def test_other_weights_in_the_same_folder_are_another_configuration(pictures, tmp_path, capsys):
    folder = tmp_path / "model"
    save(make("vit", seed=1), folder)
    assert run(tmp_path / "results", folder, pictures) == 0
    save(make("vit", seed=2), folder)
    assert run(tmp_path / "results", folder, pictures) == 2
    assert "sha256" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("none", "backbone.path is not set"),
        ("missing", "backbone.path=./missing not found"),
        ("headless", "has no classifier: give backbone.head"),
    ],
)
def test_what_cannot_be_run_is_one_line(made, message, pictures, tmp_path, capsys):
    path = {"none": "null", "missing": "./missing", "headless": tmp_path / "headless"}[made]
    if made == "headless":
        save(make("vit-headless"), path)
    capsys.readouterr()  # what save_pretrained says
    overrides = [f"backbone.path={path}"]
    assert cdam_bench(tmp_path, *FEW, "backbone=hf", *overrides, f"dataset.folder={pictures}") == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_classes_made_of_text_are_targets_by_the_names_of_the_folders(family, tmp_path):
    model = save(make(family), tmp_path / "whole")
    save_tokenizer(model)
    for name in ("dog", "cat"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        picture().save(tmp_path / "pictures" / name / "1.png")
    folder = f"dataset.folder={tmp_path / 'pictures'}"
    few = [word for word in FEW if "num_images" not in word]
    overrides = (*few, "dataset.num_images=2", "backbone=hf", "backbone/head=text", f"backbone.path={model}", folder)
    assert cdam_bench(tmp_path, *overrides) == 0
    cell = tmp_path / "cells" / "image_folder" / "whole_text" / "cdam"
    head = yaml.safe_load((cell / "cell.yaml").read_text())["identity"]["backbone"]["head"]
    assert (head["class_names"], head["path"]) == (["cat", "dog"], "whole")
    rows = (cell / "scores.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0].split("/")[0] in row.split(",", 1)[1] for row in rows] == [True, True]


def test_a_picture_is_explained_for_classes_made_of_text(tmp_path):
    model = save(make("clip"), tmp_path / "whole")
    save_tokenizer(model)
    picture().save(tmp_path / "1.png")
    settings = ("backbone=hf", "backbone/head=text", f"backbone.path={model}", "class_names=[cat,dog]", "target=dog")
    assert (
        command("explain", f"image={tmp_path / '1.png'}", "estimator=cdam", f"output_dir={tmp_path / 'out'}", *settings)
        == 0
    )
    about = json.loads((tmp_path / "out" / "1.json").read_text())
    assert [target["name"] for target in about["targets"]] == ["dog"]
