"""scripts/explain.py as users run it."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from cdam_bench.explaining.command import main
from tests.datasets.test_concepts import save_pictures

PICTURE = Path(__file__).parents[2] / "docs/images/two_digits.png"


@pytest.fixture
def explain(tmp_path, monkeypatch):
    """`python scripts/explain.py …` with tmp_path/out as its output; returns the exit status."""

    def run(*overrides):
        fast = [] if any(word.startswith("estimator=") for word in overrides) else ["estimator=cdam"]
        monkeypatch.setattr(sys, "argv", ["explain", f"output_dir={tmp_path / 'out'}", *fast, *overrides])
        try:
            main()
        except SystemExit as exit_:
            return int(exit_.code or 0)
        return 0

    return run


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
    assert "weights of digits_vit are random" in capsys.readouterr().err
    first = maps_of(tmp_path)["cdam/3"]
    assert explain(*random) == 0
    np.testing.assert_array_equal(maps_of(tmp_path)["cdam/3"], first)


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
    "unknown key": ([f"image={PICTURE}", "concept.klass=hammer"], "concept.klass is unknown"),
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
