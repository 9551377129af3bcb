"""The paper's ImageNet cells end to end: real photographs where they are at hand, a random backbone, every layout."""

import csv
import tarfile

import pytest
import timm
import torch
from safetensors.torch import save_file

from cdam_bench.datasets.imagenet import MANIFEST
from cdam_bench.datasets.imagenet_classes import validation_names, wordnet_ids
from cdam_bench.datasets.multi_object import read_manifest, shuffled
from tests.datasets.photographs import REAL, validation_folder
from tests.runs import cdam_bench, files_below
from tests.scripts import command

COUNT = 6  # of tests.runs.SMALL
VIT = {"patch_size": 32, "embed_dim": 48, "depth": 2, "num_heads": 3}
RANDOM = (  # DINO ViT-S/8's shape where it matters for the pipeline: 1000 classes, 224², ImageNet's preprocessing
    "backbone.architecture=vit_tiny_patch16_224",
    *(f"+backbone.model_args.{key}={value}" for key, value in VIT.items()),
    "backbone.checkpoint=null",
    "backbone.head=null",
    "estimator=cdam",
)


def names_of(dataset):
    if dataset == "imagenet_multi":
        return [entry.file for entry in read_manifest(MANIFEST)][:COUNT]
    return shuffled(validation_names(), 0)[:COUNT]


def put_images(data_dir, layout, names):
    """Real photographs under the names that the dataset chooses, or drawn ones."""
    photographs = sorted((REAL / "one_per_class").glob("*.JPEG")) if REAL.is_dir() else None
    validation_folder(data_dir / "val", names, wordnet_ids() if layout == "class folders" else None, photographs)
    if layout == "tar":
        with tarfile.open(data_dir / "ILSVRC2012_img_val.tar", "w") as archive:
            for path in sorted((data_dir / "val").iterdir()):
                archive.add(path, path.name)
                path.unlink()


@pytest.mark.parametrize("dataset", ["imagenet_multi", "imagenet_random"])
def test_cell_runs_end_to_end_and_alike_in_every_layout(tmp_path, dataset):
    tables = {}
    for layout in ("flat", "class folders", "tar"):
        data_dir = tmp_path / layout
        put_images(data_dir, layout, names_of(dataset))
        settings = (f"dataset={dataset}", f"paths.data_dir={data_dir}", *RANDOM)
        torch.manual_seed(0)
        assert cdam_bench(tmp_path / f"results {layout}", *settings) == 0
        (path,) = (tmp_path / f"results {layout}" / "cells").rglob("scores.csv")
        assert path.parent.parts[-3:] == (dataset, "dino_vits8", "cdam")
        tables[layout] = list(csv.DictReader(path.open()))
    rows = tables["flat"]
    assert {f"{row['image']}.JPEG" for row in rows} == set(names_of(dataset))
    assert ("other" in rows[0]) == (dataset == "imagenet_multi")
    for layout in ("class folders", "tar"):
        assert [row["image"] for row in tables[layout]] == [row["image"] for row in rows]
    results = tmp_path / "results flat"
    assert command("tables", f"results_dir={results}") == 0
    with (results / "tables" / dataset / "dino_vits8" / "compactness.csv").open() as file:
        (row,) = csv.DictReader(file)
    mean = sum(float(one["compactness"]) for one in rows) / COUNT
    assert (row["estimator"], row["n"], row["paper"]) == (
        "cdam",
        str(COUNT),
        {"imagenet_multi": "0.88"}.get(dataset, ""),
    )
    assert float(row["mean"]) == pytest.approx(mean, abs=1e-6)


def test_paper_check_says_not_compatible_of_official_layouts_with_random_values(tmp_path, capsys):
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, **VIT)
    torch.save(vit.state_dict(), tmp_path / "dino_deitsmall8_pretrain.pth")
    torch.save(
        {"state_dict": {"linear.weight": torch.randn(1000, 48), "linear.bias": torch.zeros(1000)}}, tmp_path / "h.ckpt"
    )
    names = shuffled(validation_names(), 0)[:12]
    put_images(tmp_path, "flat", names)
    files = (f"backbone.checkpoint={tmp_path}/dino_deitsmall8_pretrain.pth", f"backbone.head={tmp_path}/h.ckpt")
    settings = (
        "-m",
        "experiment=paper_check",
        "dataset=imagenet_random",
        *RANDOM[:-3],
        *files,
        f"paths.data_dir={tmp_path}",
    )
    few = ("estimator=cdam,attention_map", "dataset.num_images=12")
    assert cdam_bench(tmp_path / "results", *settings, *few) == 0
    assert command("tables", f"results_dir={tmp_path}/results") == 0
    page = (tmp_path / "results" / "tables" / "imagenet_random" / "dino_vits8" / "paper_check.md").read_text()
    assert "**Not compatible with the paper**" in page
    assert page in capsys.readouterr().out


def test_imagenet_chooses_dino_vits8_unless_told_otherwise(tmp_path, capsys):
    put_images(tmp_path, "flat", names_of("imagenet_random"))
    results = tmp_path / "results"
    settings = (f"paths.data_dir={tmp_path}", "backbone.checkpoint=gone.pth", "estimator=cdam")
    assert cdam_bench(results, "dataset=imagenet_random", "backbone=deit_vitti16", *settings) == 2
    assert "gone.pth not found" in capsys.readouterr().err


@pytest.fixture
def ten_classes(tmp_path):
    path = tmp_path / "ten.safetensors"
    save_file({"weight": torch.zeros(10, 48), "bias": torch.zeros(10)}, path)
    return path


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("no images", "no ImageNet validation images in"),
        ("missing images", f"1 of the {COUNT} chosen validation images are missing"),
        ("half an image", f"1 of {COUNT} images cannot be read"),
        ("head", "has 10 classes, but backbone.num_classes=1000: set backbone.num_classes=10"),
        ("half a checkpoint", "cannot be read"),
        ("unknown manifest", "manifest gone.csv not found"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing_behind(tmp_path, capsys, ten_classes, case, message):
    data_dir, results = tmp_path / "data", tmp_path / "results"
    extra = []
    if case != "no images":
        put_images(data_dir, "flat", names_of("imagenet_multi"))
    images = sorted((data_dir / "val").iterdir()) if data_dir.exists() else []
    if case == "missing images":
        images[0].unlink()
    if case == "half an image":
        images[0].write_bytes(images[0].read_bytes()[: images[0].stat().st_size // 2])
    if case == "head":
        extra = [f"backbone.head={ten_classes}"]
    if case == "half a checkpoint":
        half = tmp_path / "half.safetensors"
        half.write_bytes(ten_classes.read_bytes()[:-100])
        extra = [f"backbone.checkpoint={half}"]
    if case == "unknown manifest":
        extra = ["dataset.manifest=gone.csv"]
    assert cdam_bench(results, "dataset=imagenet_multi", f"paths.data_dir={data_dir}", *RANDOM, *extra) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert message in told[-1]
    assert told[-1].startswith("error: ")
    assert not files_below(results) if results.exists() else True


def test_script_writes_the_manifest_and_prints_the_pairs(tmp_path, capsys):
    assert command("prepare", "imagenet-multi", f"output={tmp_path}/multi.csv") == 0
    assert (tmp_path / "multi.csv").read_bytes() == MANIFEST.read_bytes()
    told = capsys.readouterr().out
    assert "sunglass / sunglasses" in told.split("kept:")[0]
    assert "7443 images have several labels, 5312 of them two different objects" in told


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("threshold=0", "threshold=0: must be in (0, 1]"),
        ("num_images=9999", "only 5312 images have two objects below the threshold"),
        ("class_similarity.path=gone.npy", "similarities gone.npy cannot be read"),
    ],
)
def test_mistakes_in_the_selection_are_one_line(tmp_path, capsys, override, message):
    output = f"output={tmp_path}/multi.csv"
    assert command("prepare", "imagenet-multi", output, override) == 2
    assert message in capsys.readouterr().err


def test_real_json_of_the_wrong_length_is_one_line(tmp_path, capsys):
    (tmp_path / "real.json").write_text("[[1]]")
    settings = (f"output={tmp_path}/multi.csv", f"real_labels={tmp_path}/real.json")
    assert command("prepare", "imagenet-multi", *settings) == 2
    assert "have 1 entries instead of 50000" in capsys.readouterr().err
