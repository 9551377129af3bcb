"""Models as users have them: explained with their own preprocessing and names, and left as they were."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torch import nn
from torchvision.models import VisionTransformer

import cdam_bench
from cdam_bench.backbones import Backbone
from cdam_bench.errors import UserError
from cdam_bench.estimators import CDAM
from tests.conftest import random_vit
from tests.datasets.photographs import drawn
from tests.reference.model import textbook_model

NAMES = ("zebra", "bus", "African elephant, Loxodonta africana", "tram", "tench")
TINY = {"img_size": 32, "depth": 2, "embed_dim": 24, "num_heads": 2, "num_classes": len(NAMES)}


@pytest.fixture
def model():
    """A tiny ViT of timm that says how it was trained: not as ImageNet's defaults."""
    torch.manual_seed(0)
    made = timm.create_model("vit_tiny_patch16_224", **TINY, patch_size=8)
    made.pretrained_cfg = dict(made.pretrained_cfg) | {"input_size": (3, 32, 32), "label_names": NAMES}
    return made


@pytest.fixture
def picture():
    return drawn((100, 70))


def test_a_timm_model_sees_the_picture_as_timm_shows_it(model, picture):
    found = cdam_bench.explain(picture, model, "cdam", [0, 3])
    shown = create_transform(**resolve_data_config({}, model=model))(picture)[None]  # ty: ignore
    expected = model(shown)[0].softmax(0).detach()
    assert [one.probability for one in found.targets] == pytest.approx([float(expected[i]) for i in (0, 3)], rel=1e-4)
    maps = CDAM().attribute(Backbone(model), shown, torch.tensor([[0, 3]]))[0]
    np.testing.assert_allclose(found.maps["cdam"]["zebra"], maps[0], rtol=1e-4, atol=1e-7)
    assert found.backbone == "vit_tiny_patch16_224"


def test_a_model_is_left_as_it_was(model, picture):
    model.train()
    model.blocks[0].eval()
    model.patch_embed.requires_grad_(False)
    before = [module.training for module in model.modules()], [one.requires_grad for one in model.parameters()]
    cdam_bench.explain(picture, model)
    with pytest.raises(UserError):
        cdam_bench.explain(picture, model, targets="nothing")
    assert before == (
        [module.training for module in model.modules()],
        [one.requires_grad for one in model.parameters()],
    )


def test_targets_are_the_models_names_and_parts_of_them(model, picture):
    found = cdam_bench.explain(picture, model, targets=["Loxodonta africana", "TRAM", "tench"])
    assert [one.index for one in found.targets] == [2, 3, 4]
    with pytest.raises(UserError, match="did you mean zebra"):
        cdam_bench.explain(picture, model, targets="zebr")


def test_no_target_means_the_three_most_probable_classes_and_it_is_said(model, picture):
    found = cdam_bench.explain(picture, model, targets=None)
    assert found.targets == found.predictions[:3]
    assert found.notes == ["no target was given: the 3 most probable classes are explained"]


@pytest.mark.parametrize(
    "targets", [2, np.int64(2), np.array([2]), torch.tensor(2), torch.tensor([2]), [torch.tensor(2)], (2,), ["2"]]
)
def test_an_index_may_come_from_an_array_or_a_tensor(model, picture, targets):
    assert [one.index for one in cdam_bench.explain(picture, model, targets=targets).targets] == [2]


@pytest.mark.parametrize("targets", [2.0, [None], True, [[1, 2]], [], torch.tensor([])])
def test_targets_that_are_neither_names_nor_indices_are_refused(model, picture, targets):
    with pytest.raises(UserError, match=r"^(target=.*: give names or indices|no target is given)"):
        cdam_bench.explain(picture, model, targets=targets)


def test_a_backbone_of_a_configuration_brings_its_preprocessing(picture):
    from cdam_bench.explaining.named import named_backbone

    backbone, _ = named_backbone("digits_vit")
    by_object, by_name = (cdam_bench.explain(picture, one, targets=3) for one in (backbone, "digits_vit"))
    np.testing.assert_array_equal(by_object.maps["cdam"]["3"], by_name.maps["cdam"]["3"])


def test_a_backbone_without_preprocessing_has_imagenets(picture):
    vit = random_vit(img_size=(32, 32))
    found = cdam_bench.explain(picture, Backbone(vit), targets=1)
    square = np.asarray(picture.resize((53, 37), Image.Resampling.BICUBIC).crop((10, 2, 42, 34))) / 255
    assert np.abs(found.pixels - square).mean() < 0.02
    shown = torch.from_numpy((found.pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).permute(2, 0, 1)[None]
    assert found.targets[0].output == pytest.approx(
        float(textbook_model(vit)(shown.double())[0, 1].detach()), rel=1e-3, abs=1e-4
    )


def test_what_torch_wraps_around_a_model_is_taken_off(model, picture):
    expected = cdam_bench.explain(picture, model, targets=1).maps["cdam"]["bus"]
    compiled = nn.Sequential()  # as torch.compile wraps a model, without its seconds of imports
    compiled._orig_mod = model
    for wrapped in (nn.DataParallel(model), compiled):
        np.testing.assert_array_equal(cdam_bench.explain(picture, wrapped, targets=1).maps["cdam"]["bus"], expected)


def test_features_of_a_model_without_head_are_targets_by_index_alone(picture):
    model = timm.create_model("vit_tiny_patch16_224", **TINY | {"num_classes": 0, "embed_dim": 96})
    (target,) = cdam_bench.explain(picture, model, targets=5).targets
    assert (target.index, target.kind, target.probability) == (5, "quantities", None)
    with pytest.raises(UserError, match="96 outputs but no classes"):
        cdam_bench.explain(picture, model)


class OwnModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)


REFUSED = {
    "own network": (OwnModel(), "OwnModel is not a timm model"),
    "torchvision's ViT": (VisionTransformer(32, 8, 1, 2, 16, 32), "VisionTransformer is not a timm model"),
    "grey": (timm.create_model("vit_tiny_patch16_224", **TINY, in_chans=1), "images of 1 channels"),
    "no values": (OwnModel().to("meta"), "device meta"),
    "template": ("hf", "backbone=hf lacks path"),
    "half precision": (OwnModel().half(), r"weights of float16: pass model\.float\(\)"),
    "no weights": (nn.ReLU(), "ReLU has no weights"),
    "class": (OwnModel, r"the class OwnModel: pass an object, such as OwnModel\(…\)"),
    "weights": ({"head.weight": torch.zeros(2)}, "dict of weights"),
    "number": (3, "type int: pass a Backbone, a timm or Hugging Face model, or the name of one"),
    "None": (None, "type NoneType: pass a Backbone"),
    "unknown name": ("digit_vit", "did you mean digits_vit"),
    "unknown timm name": ("vit_tiny_patch16_22", "vit_tiny_patch16_224"),
    "folder that is not there": ("./models/mine", "no configuration, timm model or folder"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_model_is_refused_with_what_to_pass(case, picture):
    given, message = REFUSED[case]
    with pytest.raises(UserError, match=message):
        cdam_bench.explain(picture, given)


@pytest.mark.parametrize(
    ("estimators", "message"),
    [(CDAM, r"pass CDAM\(\)"), ([3], "no estimator"), (None, "no estimator"), (["cdam", CDAM], r"pass CDAM\(\)")],
)
def test_what_is_no_estimator_is_refused(model, picture, estimators, message):
    with pytest.raises(UserError, match=message):
        cdam_bench.explain(picture, model, estimators)


def test_another_librarys_preprocessing_is_refused_with_ours(model, picture):
    with pytest.raises(UserError, match=r"pass cdam_bench\.datasets\.Preprocessing"):
        cdam_bench.explain(picture, model, preprocessing=create_transform(32))


@pytest.mark.parametrize(
    ("image", "message"), [("https://example.org/cat.jpg", "download"), (".", "folder"), ("gone.png", "missing")]
)
def test_a_picture_that_is_no_file_is_told(model, image, message):
    with pytest.raises(UserError, match=message):
        cdam_bench.explain(image, model)


def test_the_same_pixels_in_any_form_give_the_same_map(model, picture):
    eight_bit = np.asarray(picture)
    floats = torch.from_numpy(eight_bit.copy()).permute(2, 0, 1) / 255
    expected = cdam_bench.explain(picture, model, targets=1).maps["cdam"]["bus"]
    same = cdam_bench.explain(eight_bit, model, targets=1).maps["cdam"]["bus"]
    np.testing.assert_array_equal(same, expected)
    close = cdam_bench.explain(floats[None], model, targets=1).maps["cdam"]["bus"]  # resized as floats, not in 8 bits
    np.testing.assert_allclose(close, expected, atol=0.05 * np.abs(expected).max())


def test_a_mean_pooled_vit_and_a_convolutional_model_are_explained(picture):
    for name, settings in (
        ("vit_tiny_patch16_224", TINY | {"class_token": False, "global_pool": "avg"}),
        ("convnext_atto", {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16), "num_classes": 4}),
    ):
        torch.manual_seed(0)
        found = cdam_bench.explain(picture, timm.create_model(name, **settings), ["cdam", "gradcam"], [1, 2])
        assert found.backbone == name
        for maps in found.maps.values():
            assert all(one.shape == found.pixels.shape[:2] and np.isfinite(one).all() for one in maps.values())


@pytest.mark.slow  # imports transformers
def test_a_model_of_hugging_face_and_its_folder_are_explained_alike(picture, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        image_size=32,
        patch_size=8,
        id2label=dict(enumerate(NAMES)),
    )
    model = transformers.ViTForImageClassification(config).train()
    model.save_pretrained(tmp_path / "mine")
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.2] * 3)
    processor.save_pretrained(tmp_path / "mine")
    found = cdam_bench.explain(picture, tmp_path / "mine", targets=["tram", "Loxodonta africana"])
    shown = processor(picture, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = model.eval()(shown).logits[0]
    outputs = [one.output for one in found.targets]
    assert outputs == pytest.approx(
        [float(expected[i]) for i in (3, 2)], rel=2e-2, abs=1e-3
    )  # resized by another filter
    assert found.backbone == "mine"
    by_object = cdam_bench.explain(picture, model.train(), targets="tram")
    assert (by_object.backbone, model.training) == ("ViTForImageClassification", True)
    assert by_object.maps["cdam"]["tram"].shape == (32, 32)
