"""`cdam-bench explain` as users run it."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from cdam_bench import configs
from cdam_bench.cli.program import overview
from cdam_bench.configs import building
from cdam_bench.lidc.finetuned import HEAD, kept_digest, save_finetuned
from tests.datasets.test_concepts import save_pictures
from tests.scripts import command

PICTURE = Path(__file__).parents[2] / "docs/images/two_digits.png"
BIOMARKERS = ["margin", "sphericity", "texture"]


@pytest.fixture
def explain(tmp_path):
    """`cdam-bench explain …` with tmp_path/out as its output; returns the exit status."""

    def run(*overrides):
        fast = [] if any(word.startswith("estimator=") for word in overrides) else ["estimator=cdam"]
        return command("explain", f"output_dir={tmp_path / 'out'}", *fast, *overrides)

    return run


@pytest.fixture
def finetuned(tmp_path):
    """Makes a fine-tuned file for digits_vit_shallow: a task's name → overrides that choose it."""

    def make(task):
        vit, _ = configs.build_vit(configs.compose(["backbone=digits_vit_shallow"], "scripts/explain"))
        outputs = BIOMARKERS if task == "biomarkers" else ["malignancy"]
        generator = torch.Generator().manual_seed(0)
        changed = {"norm.weight": 1.5 * vit.state_dict()["norm.weight"]}
        head = {
            name: torch.randn(*shape, generator=generator)
            for name, shape in zip(HEAD, ((len(outputs), 128), (len(outputs),)), strict=True)
        }
        card = {
            "task": task,
            "split": "paper",
            "fold": 0,
            "outputs": outputs,
            "image": {"size": 64, "mean": 0.3, "std": 0.2},
            "kept": kept_digest(vit, set(changed)),
            "backbone": "digits_vit_shallow",
        }
        path = tmp_path / f"{task}.safetensors"
        save_finetuned(path, changed | head, card)
        return ["backbone=lidc_digits_vit", f"backbone.head.weights={path}", f"backbone.head.task={task}"]

    return make


def maps_of(folder, name="two_digits"):
    with np.load(folder / "out" / f"{name}.npz", allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def test_a_picture_gets_a_map_for_every_target_and_estimator_and_a_table(explain, tmp_path, capsys):
    assert (
        explain(
            f"image={PICTURE}", "target=top1", "target2=4", "estimator=[cdam,smooth_cdam]", "estimator.num_samples=3"
        )
        == 0
    )
    assert set(maps_of(tmp_path)) == {
        f"{estimator}/{digit}" for estimator in ("cdam", "smooth_cdam") for digit in (4, 7)
    }
    out = capsys.readouterr().out
    assert "probability" in out
    assert out.index(" 7  ") < out.index(" 4  ")  # most probable first
    settings = json.loads((tmp_path / "out/two_digits.json").read_text())["settings"]
    assert settings["estimators"]["smooth_cdam"]["num_samples"] == 3
    assert "num_samples" not in settings["estimators"]["cdam"]


def test_a_contrast_changes_the_maps_and_is_refused_for_methods_blind_to_the_class(explain, tmp_path, capsys):
    maps = []
    for words in ([], ["contrast={gamma:0.6,num_classes:3}"]):
        assert explain(f"image={PICTURE}", "target=top1", *words) == 0
        with np.load(tmp_path / "out" / f"{PICTURE.stem}.npz") as stored:
            maps.append(stored[stored.files[0]])
    assert not np.allclose(*maps, rtol=0.01)
    assert "note: maps explain a contrast: the target's output − 0.6 · mean of the 3 nearest" in capsys.readouterr().out
    assert explain(f"image={PICTURE}", "estimator=attention_map", "contrast={gamma:0.6}") == 2
    assert "contrast: maps of AttentionMap do not depend on the class" in capsys.readouterr().err


def test_a_folder_gets_one_figure_per_picture(explain, tmp_path):
    folder = save_pictures(tmp_path / "pictures", 3)
    assert explain(f"image={folder}") == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["0.png", "1.png", "2.png"]


def test_a_concept_from_a_folder_and_from_its_saved_vectors_gives_the_same_map(explain, tmp_path):
    folder = save_pictures(tmp_path / "stripes", 3)
    assert explain(f"image={PICTURE}", f"concept={folder}", "similarity=cosine") == 0
    first = maps_of(tmp_path)
    assert set(first) == {"cdam/stripes"}
    saved = shutil.copy(tmp_path / "out/concepts/stripes.safetensors", tmp_path / "kept.safetensors")
    assert explain(f"image={PICTURE}", f"concept={saved}", "similarity=cosine") == 0
    np.testing.assert_allclose(maps_of(tmp_path)["cdam/stripes"], first["cdam/stripes"], rtol=1e-5)


def test_several_concepts_and_a_class_share_a_figure(explain, tmp_path):
    folders = [save_pictures(tmp_path / name, 2, seed) for seed, name in enumerate(("stripes", "tails"))]
    assert explain(f"image={PICTURE}", f"concept=[{folders[0]},{folders[1]}]", "target=4") == 0
    assert set(maps_of(tmp_path)) == {"cdam/4", "cdam/stripes", "cdam/tails"}


def test_an_explained_example_is_warned_about(explain, tmp_path, capsys):
    folder = save_pictures(tmp_path / "stripes", 2)
    assert explain(f"image={folder / '0.png'}", f"concept={folder}") == 0
    assert "warning: 0.png" in capsys.readouterr().err


def test_random_weights_are_said_to_be_random_and_come_from_the_seed(explain, tmp_path, capsys):
    random = ("backbone.checkpoint=null", f"image={PICTURE}", "target=3")
    assert explain(*random) == 0
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert "the weights are random" in warning
    first = maps_of(tmp_path)["cdam/3"]
    building._kept_backbone.cache_clear()
    assert explain(*random) == 0
    np.testing.assert_array_equal(maps_of(tmp_path)["cdam/3"], first)


def test_fine_tuned_quantities_are_all_explained_and_shown_with_their_values(explain, finetuned, tmp_path, capsys):
    assert explain(f"image={PICTURE}", *finetuned("biomarkers")) == 0
    assert set(maps_of(tmp_path)) == {f"cdam/{name}" for name in BIOMARKERS}
    out = capsys.readouterr().out
    assert re.search(r"quantity +value", out)
    assert "probability" not in out
    about = json.loads((tmp_path / "out/two_digits.json").read_text())
    assert about["backbone"] == "lidc_digits_vit"
    assert [(target["name"], target["probability"]) for target in about["targets"]] == [
        (one, None) for one in BIOMARKERS
    ]
    assert about["predictions"] == []


def test_one_fine_tuned_output_is_a_label_and_not_a_class_of_100_percent(explain, finetuned, tmp_path, capsys):
    assert explain(f"image={PICTURE}", "target=malignancy", *finetuned("malignancy")) == 0
    assert set(maps_of(tmp_path)) == {"cdam/malignancy"}
    assert "%" not in capsys.readouterr().out


def test_fine_tuned_weights_see_the_picture_in_grey_and_their_own_values(explain, finetuned, tmp_path):
    """Computed here by hand: changed norm, own head, grey picture with the card's mean and standard deviation."""
    overrides = finetuned("biomarkers")
    assert explain(f"image={PICTURE}", *overrides) == 0
    grey = np.asarray(Image.open(PICTURE).convert("RGB")).astype(np.float64) @ [0.299, 0.587, 0.114]
    image = torch.tensor((grey.round() / 255 - 0.3) / 0.2, dtype=torch.float32).expand(1, 3, -1, -1)
    vit, _ = configs.build_vit(configs.compose(["backbone=digits_vit_shallow"], "scripts/explain"))
    tensors = load_file(tmp_path / "biomarkers.safetensors")
    vit.eval().norm.weight.data = tensors["norm.weight"]
    expected = vit.forward_features(image)[0, 0] @ tensors["head.weight"].T + tensors["head.bias"]
    about = json.loads((tmp_path / "out/two_digits.json").read_text())
    found = [target["output"] for target in about["targets"]]
    np.testing.assert_allclose(found, expected.detach(), rtol=1e-3)


def test_a_concept_can_be_explained_with_fine_tuned_weights(explain, finetuned, tmp_path):
    folder = save_pictures(tmp_path / "stripes", 2)
    assert explain(f"image={PICTURE}", f"concept={folder}", *finetuned("malignancy")) == 0
    assert set(maps_of(tmp_path)) == {"cdam/stripes"}


@pytest.mark.parametrize("backbone", [name for name in configs.choices("backbone") if name.startswith("lidc_")])
def test_an_offered_backbone_without_its_weights_says_how_they_are_made(backbone, explain, tmp_path, capsys):
    weights = f"paths.weights_dir={tmp_path}"
    assert (
        explain(f"image={PICTURE}", f"backbone={backbone}", weights, "backbone.head.weights=nowhere.safetensors") == 2
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert "train lidc" in line


@pytest.fixture
def broken(tmp_path):
    """digits_vit with a NaN in its head."""
    tensors = load_file(Path(configs.PACKAGE) / "weights" / "digits_vit.safetensors")
    tensors["head.bias"][3] = float("nan")
    save_file(tensors, tmp_path / "broken.safetensors")
    return f"backbone.checkpoint={tmp_path / 'broken.safetensors'}"


def test_nan_weights_are_told_in_one_line_and_nothing_is_written(explain, broken, tmp_path, capsys):
    assert explain(f"image={PICTURE}", broken) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "broken.safetensors has NaN or infinite values in head.bias" in line
    assert not (tmp_path / "out").exists()


OWN_ESTIMATOR = """
import torch
from cdam_bench.estimators import Estimator


class Broken(Estimator):
    signed = False

    def attribute(self, backbone, images, targets, seeds=None):
        return torch.full((*targets.shape, *images.shape[-2:]), {value})
"""


@pytest.fixture
def own_estimator(tmp_path, monkeypatch):
    """Writes an estimator that gives one value everywhere, outside the package: the overrides that choose it."""

    def write(value):
        (tmp_path / "conf/estimator").mkdir(parents=True)
        (tmp_path / "conf/estimator/mine.yaml").write_text("_target_: my_estimator_of_explain.Broken\n")
        (tmp_path / "my_estimator_of_explain.py").write_text(OWN_ESTIMATOR.format(value=value))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "my_estimator_of_explain", raising=False)
        return ["estimator=[cdam,mine]", "--config-dir", str(tmp_path / "conf")]

    return write


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')"])
def test_a_map_that_is_not_finite_names_its_estimator_and_writes_nothing(
    value, explain, own_estimator, tmp_path, capsys
):
    assert explain(f"image={PICTURE}", *own_estimator(value)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "estimator mine" in line
    assert "two_digits" in line
    assert not (tmp_path / "out").exists()


def test_a_method_of_ones_own_is_explained_with(explain, own_estimator, tmp_path):
    assert explain(f"image={PICTURE}", "target=7", *own_estimator("2.0")) == 0
    assert (maps_of(tmp_path)["mine/7"] == 2.0).all()


def test_help_names_commands_and_choices_that_exist(explain, capsys):
    assert explain("--help") == 0
    text = capsys.readouterr().out
    assert set(re.findall(r"cdam-bench (\w+)", text)) == {"explain"}
    assert "  explain " in overview()
    assert all(name in text for group in ("backbone", "estimator") for name in configs.choices(group))
    assert "metric" not in text
    assert "scripts/" not in text


def test_scatter_draws_attention_and_heads(explain, tmp_path):
    assert explain(f"image={PICTURE}", "target=4", "scatter=true") == 0
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {
        "two_digits.png",
        "two_digits_scatter.png",
        "two_digits_heads_4.png",
    }


MISTAKES = {
    "no picture": ([], "no picture is given"),
    "missing picture": (["image=nowhere.png"], "image nowhere.png not found"),
    "unknown target": ([f"image={PICTURE}", "target=zebra"], "target=zebra is unknown"),
    "unknown estimator": ([f"image={PICTURE}", "estimator=[cdam,smoth_cdam]"], "did you mean smooth_cdam"),
    "unknown backbone": ([f"image={PICTURE}", "backbone=digit_vit"], "did you mean digits_vit"),
    "missing folder": ([f"image={PICTURE}", "concept=nowhere/"], "concept folder nowhere/ not found"),
    "missing vectors": ([f"image={PICTURE}", "concept=nowhere.safetensors"], "concepts nowhere.safetensors not found"),
    "unknown class": ([f"image={PICTURE}", "concept.imagenet_class=hamer", "concept.count=3"], "or hammer or"),
    "no ImageNet": (
        [f"image={PICTURE}", "concept.imagenet_class=hammer", "paths.data_dir=nowhere"],
        "set paths.data_dir",
    ),
    "unknown key": ([f"image={PICTURE}", "concept.klass=hammer"], "key=concept.klass is unknown"),
    "no estimator": ([f"image={PICTURE}", "estimator=[]"], "estimator is taken away"),
    "seed of words": ([f"image={PICTURE}", "seed=later"], "seed=later"),
    "unknown colours": ([f"image={PICTURE}", "figure.colours=RdBu_"], "did you mean RdBu"),
    "another figure": (
        [f"image={PICTURE}", "figure.style=side"],
        "figure.style=side is unknown: use beside, overlay or maps",
    ),
    "unknown similarity": ([f"image={PICTURE}", f"concept={PICTURE.parent}", "similarity=l1"], "dot, cosine, neg_l2"),
    "clip in percent": ([f"image={PICTURE}", "figure.clip=99"], "between 0 and 1"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line_and_status_2(mistake, explain, tmp_path, capsys):
    overrides, expected = MISTAKES[mistake]
    assert explain(*overrides) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    assert expected in lines[0]
    assert not list(tmp_path.rglob("*.png"))
