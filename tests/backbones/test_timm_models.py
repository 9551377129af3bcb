"""Any timm model as a backbone: its own preprocessing, in Python and by backbone=timm, and the cell that it makes."""

import numpy as np
import pytest
import timm
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config

from cdam_bench.backbones import Backbone
from cdam_bench.backbones.preprocessing import TimmPreprocessing, timm_settings
from cdam_bench.configs import compose
from cdam_bench.errors import UserError
from tests.agreement import assert_agree
from tests.runs import cdam_bench

SIZES = [(90, 70), (64, 64), (31, 120)]  # W × H


def picture(size, seed=0, edges=True):
    """A picture of coloured fields, with edges between them or not."""
    values = np.random.default_rng(seed).random((7, 9, 3)) * 255
    return Image.fromarray(values.astype(np.uint8)).resize(size, Image.NEAREST if edges else Image.BICUBIC)


def cfg(**settings):
    return {"input_size": (3, 48, 48), "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center"} | settings


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"crop_pct": 0.95, "interpolation": "bilinear", "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.5)},
        {"crop_pct": 1.0, "crop_mode": "squash"},
        {"crop_pct": 0.8, "crop_mode": "squash"},
        {"crop_pct": 1.0, "crop_mode": "border", "mean": (0.5, 0.4, 0.3)},
        {"crop_pct": 0.9, "crop_mode": "border", "interpolation": "lanczos"},
    ],
    ids=str,
)
def test_preprocessing_is_timms_own_pipeline_exactly(settings, size):
    config = cfg(**settings)
    theirs = create_transform(**resolve_data_config({}, pretrained_cfg=config))
    ours = TimmPreprocessing(**timm_settings(config))
    assert torch.equal(ours(picture(size)), theirs(picture(size)))


def test_of_tensors_preprocessing_differs_by_rounding_alone():
    config = cfg(std=(1.0, 1.0, 1.0), mean=(0.0, 0.0, 0.0))
    theirs = create_transform(**resolve_data_config({}, pretrained_cfg=config))
    shown = picture((90, 70), edges=False)  # beyond edges, where the filter overshoots, PIL cuts off in between
    tensor = torch.from_numpy(np.array(shown)).permute(2, 0, 1).float() / 255
    ours = TimmPreprocessing(**timm_settings(config))(tensor).clamp(0, 1)
    assert (ours - theirs(shown)).abs().max() <= 2 / 255


def test_a_model_states_its_own_preprocessing_and_knows_no_class_names():
    backbone = Backbone(timm.create_model("vit_tiny_patch16_224", embed_dim=24, depth=1, num_heads=2))
    own = backbone.preprocessing
    assert (own.image_size, own.resize, own.interpolation.value) == (224, 248, "bicubic")
    assert (own.mean, own.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert backbone.class_names is None


def test_from_timm_takes_a_name_or_a_model_and_files_only_for_a_name():
    model = timm.create_model("resnet10t", num_classes=3)
    assert Backbone.from_timm(model).model is model
    assert Backbone.from_timm("resnet10t").num_classes == 1000
    with pytest.raises(UserError, match="for a model that is named"):
        Backbone.from_timm(model, pretrained=True)
    with pytest.raises(UserError, match="architecture=vit_tinny is not a timm model: did you mean"):
        Backbone.from_timm("vit_tinny")


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ([], "backbone.architecture is not set: name a model of timm"),
        (["backbone.architecture=vit_tinny"], "backbone.architecture=vit_tinny is not a timm model: did you mean"),
    ],
    ids=["none", "unknown"],
)
def test_a_model_that_is_not_named_or_unknown_is_one_line(overrides, reason, tmp_path, capsys):
    assert cdam_bench(tmp_path, "backbone=timm", *overrides) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {reason}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("vit_tiny_patch16_224", {"image_size": 224, "crop_pct": 0.9, "mean": [0.5] * 3, "std": [0.5] * 3}),
        ("deit_tiny_patch16_224", {"image_size": 224, "crop_pct": 0.9, "mean": [0.485, 0.456, 0.406]}),
        ("convnext_atto", {"image_size": 224, "crop_pct": 0.875, "crop_mode": "center", "interpolation": "bicubic"}),
    ],
)
def test_a_configuration_has_the_models_own_numbers(architecture, expected):
    config = compose(["backbone=timm", f"backbone.architecture={architecture}", "dataset=image_folder"])
    settings = config.backbone.preprocessing
    assert {name: settings[name] for name in expected} == expected


def test_a_run_of_a_timm_model_prepares_pictures_as_timm_does_and_is_named_after_it(tmp_path, capsys):
    shape = {"embed_dim": 24, "depth": 1, "num_heads": 2}
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=5, **shape).eval()
    save_file(model.state_dict(), tmp_path / "own.safetensors")
    (tmp_path / "pictures").mkdir()
    shown = [picture(size, seed) for seed, size in enumerate(((300, 240), (224, 224)))]
    for name, one in zip("ab", shown, strict=True):
        one.save(tmp_path / "pictures" / f"{name}.png")
    arguments = (
        "backbone=timm",
        "backbone.architecture=vit_tiny_patch16_224",
        f"backbone.checkpoint={tmp_path / 'own.safetensors'}",
        *(f"+backbone.model_args.{key}={value}" for key, value in shape.items()),
        "backbone.num_classes=5",
        "dataset=image_folder",
        f"dataset.folder={tmp_path / 'pictures'}",
        "dataset.num_images=2",
        "estimator=cdam",
        *(f"metric.{name}=null" for name in ("fidelity", "box_sensitivity", "localisation")),
    )
    assert cdam_bench(tmp_path / "results", *arguments) == 0
    told = capsys.readouterr().out
    assert "vit_tiny_patch16_224: shorter side to 248 pixels (bicubic), centre 224², mean 0.5 0.5 0.5, std 0.5" in told
    cell = tmp_path / "results" / "cells" / "image_folder" / "vit_tiny_patch16_224" / "cdam"
    kept = yaml.safe_load((cell / "cell.yaml").read_text())["identity"]["backbone"]["preprocessing"]
    assert (kept["mean"], kept["std"], kept["crop_pct"]) == ([0.5] * 3, [0.5] * 3, 0.9)
    theirs = create_transform(**resolve_data_config({}, model=model))
    logits = model(torch.stack([theirs(one) for one in shown])).detach()
    (file,) = (tmp_path / "results" / "shared").rglob("logits-*/*.npz")
    with np.load(file) as arrays:
        found = torch.from_numpy(next(value for value in arrays.values() if value.shape == (2, 5)))
    assert_agree(found.softmax(1), logits.softmax(1), 1e-5)
