"""`cdam_bench.explain` gives the estimators' maps, at any resolution."""

import copy
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import to_pil_image

import cdam_bench
from cdam_bench.backbones import ConceptHead, JoinedHeads
from cdam_bench.backbones.contrast import Contrast
from cdam_bench.datasets import Preprocessing
from cdam_bench.errors import UserError
from cdam_bench.estimators import CDAM, SmoothCDAM
from tests.conftest import IMAGE_SIZE, random_images

PREPROCESSING = Preprocessing(32, mean=[0.5] * 3, std=[0.25] * 3)


def picture(height, width, seed=0):
    return random_images(1, seed, (height, width))[0].mul(0.2).add(0.5).clamp(0, 1)


@pytest.fixture
def square(backbone):
    return backbone.with_image_size((32, 32))


def test_maps_are_those_of_the_estimators(square):
    shown = picture(32, 32)
    found = cdam_bench.explain(shown, square, [CDAM(), "smooth_cdam"], [3, "5"], preprocessing=PREPROCESSING, seed=7)
    images, targets = PREPROCESSING(shown)[None], torch.tensor([[3, 5]])
    for name, estimator in (("cdam", CDAM()), ("smooth_cdam", SmoothCDAM())):
        expected = estimator.attribute(square, images, targets, torch.tensor([7]))[0].numpy()
        for index, target in enumerate(("3", "5")):
            np.testing.assert_allclose(found.maps[name][target], expected[index], rtol=1e-5)
    probabilities = square.logits(images)[0].softmax(0)
    assert found.targets[0].probability == pytest.approx(float(probabilities[3]), rel=1e-4)
    assert found.predictions[0].index == int(probabilities.argmax())


def test_the_map_of_a_contrast_is_the_targets_minus_those_of_the_outputs_nearest_to_it(square):
    shown = picture(32, 32)
    values = square.logits(PREPROCESSING(shown)[None])[0]
    nearest = sorted(
        (index for index in range(len(values)) if index != 3), key=lambda index: abs(values[index] - values[3])
    )[:2]
    found = cdam_bench.explain(shown, square, "cdam", 3, preprocessing=PREPROCESSING, contrast=Contrast(0.5, 2))
    plain = cdam_bench.explain(shown, square, "cdam", [3, *nearest], preprocessing=PREPROCESSING).maps["cdam"]
    expected = plain["3"] - 0.5 * np.mean(
        [plain[str(index)] for index in nearest], axis=0
    )  # CDAM is linear in the output
    np.testing.assert_allclose(found.maps["cdam"]["3"], expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())
    assert found.notes == ["maps explain a contrast: the target's output − 0.5 · mean of the 2 nearest other outputs"]
    assert found.targets[0].output == pytest.approx(float(values[3]), rel=1e-4)
    with pytest.raises(UserError, match="maps of AttentionMap do not depend on the class"):
        cdam_bench.explain(shown, square, "attention_map", 3, preprocessing=PREPROCESSING, contrast=Contrast())


def test_position_embeddings_are_resampled_as_timm_does(backbone):
    image = picture(40, 24)[None]
    resized = copy.deepcopy(backbone.vit)
    resized.set_input_size(img_size=(40, 24))
    torch.testing.assert_close(backbone.with_image_size((40, 24))(image), resized(image), rtol=1e-4, atol=1e-5)
    assert tuple(backbone.image_size) == IMAGE_SIZE  # the original is as it was


def test_a_size_the_patches_do_not_divide_is_cropped_with_a_note(square):
    found = cdam_bench.explain(picture(50, 70), square, image_size=30, preprocessing=PREPROCESSING)
    assert found.pixels.shape == (24, 24, 3)
    assert found.maps["cdam"][found.targets[0].name].shape == (24, 24)
    assert found.notes == ["cropped from 30×30 to 24×24: the patch size is 8"]


def test_native_resolution_keeps_shape_and_pixels(square):
    shown = picture(40, 64)
    found = cdam_bench.explain(shown, square, image_size="native", preprocessing=PREPROCESSING)
    np.testing.assert_allclose(found.pixels, shown.permute(1, 2, 0), atol=1e-6)
    assert found.notes == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 4}, "at least one patch of 8"),
        ({"image_size": "huge"}, "number of pixels, or native"),
        ({"targets": 7}, "outputs 0…6"),
        ({"estimators": "smoth_cdam"}, "did you mean smooth_cdam"),
        ({"image_size": 10**9}, "patches are too many"),
        ({"estimators": []}, "no estimator"),
        ({"names": ["a"]}, "1 class names for a head with 7"),
    ],
)
def test_what_cannot_be_is_refused(square, arguments, message):
    with pytest.raises(UserError, match=message):
        cdam_bench.explain(picture(32, 32), square, preprocessing=PREPROCESSING, **arguments)


def test_too_many_patches_are_refused_before_they_are_computed(square):
    with pytest.raises(UserError, match="patches are too many"):
        cdam_bench.explain(torch.zeros(3, 2000, 2000), square, image_size="native", preprocessing=PREPROCESSING)


def test_classes_and_concepts_are_explained_side_by_side(square):
    concept = ConceptHead(
        torch.randn(1, square.embed_dim, generator=torch.Generator().manual_seed(0)), "cosine", ["stripes"]
    )
    both = square.with_head(JoinedHeads(square.head, concept))
    shown = picture(32, 32)
    found = cdam_bench.explain(shown, both, targets=["2", "stripes"], preprocessing=PREPROCESSING)
    for backbone, target in ((square, "2"), (square.with_head(concept), "predicted")):
        alone = cdam_bench.explain(shown, backbone, targets=target, preprocessing=PREPROCESSING)
        (expected,) = alone.maps["cdam"].values()
        name = "2" if target == "2" else "stripes"
        np.testing.assert_allclose(found.maps["cdam"][name], expected, rtol=1e-4, atol=1e-7)
    assert len(found.predictions) == 5
    assert "stripes" not in [one.name for one in found.predictions]


def test_saved_files_hold_the_maps_and_say_what_they_are(square, tmp_path):
    found = cdam_bench.explain(picture(32, 32), square, ["cdam", "gradcam"], [1, 2], preprocessing=PREPROCESSING)
    png, npz, about = found.save(tmp_path, {"seed": 0}, clip=0.9)
    with np.load(npz, allow_pickle=False) as stored:
        assert set(stored.files) == {"cdam/1", "cdam/2", "gradcam/1", "gradcam/2"}
        np.testing.assert_array_equal(stored["cdam/2"], found.maps["cdam"]["2"])
    content = json.loads(about.read_text())
    assert content["figure"] == {"clip": 0.9}
    assert [target["index"] for target in content["targets"]] == [1, 2]
    with Image.open(png) as figure:
        assert figure.format == "PNG"


def test_nan_in_the_outputs_is_refused_with_the_pictures_name(square):
    broken = square.with_head(copy.deepcopy(square.head))
    broken.head.bias[0] = float("nan")
    with pytest.raises(UserError, match=r"picture.*NaN"):
        cdam_bench.explain(picture(32, 32), broken, targets=1, preprocessing=PREPROCESSING)


def test_nan_in_a_map_is_refused_with_the_estimators_name(square):
    class Broken(CDAM):
        def attribute(self, *inputs):
            return super().attribute(*inputs) * float("nan")

    with pytest.raises(UserError, match=r"estimator Broken.*NaN"):
        cdam_bench.explain(picture(32, 32), square, Broken(), 1, preprocessing=PREPROCESSING)


def test_a_json_file_never_holds_what_is_no_json(square, tmp_path):
    found = cdam_bench.explain(picture(32, 32), square, targets=1, preprocessing=PREPROCESSING)
    with pytest.raises(ValueError, match="JSON"):
        found.save(tmp_path, {"seed": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_the_explanation_names_its_backbone_and_knows_which_maps_are_signed(square):
    named = cdam_bench.explain(picture(64, 64), "digits_vit", ["cdam", "gradcam"], 1)
    assert (named.backbone, named.signed) == ("digits_vit", {"cdam": True, "gradcam": False})
    own = cdam_bench.explain(picture(32, 32), square, targets=1, preprocessing=PREPROCESSING)
    assert own.backbone == "a ViT of 3 blocks, width 48, patch 8"


def test_a_file_and_its_picture_in_memory_give_the_same_maps(square, tmp_path):
    shown = to_pil_image(picture(32, 32))
    shown.save(tmp_path / "shown.png")
    from_file = cdam_bench.explain(tmp_path / "shown.png", square, targets=1, preprocessing=PREPROCESSING)
    from_memory = cdam_bench.explain(shown, square, targets=1, preprocessing=PREPROCESSING)
    np.testing.assert_array_equal(from_file.maps["cdam"]["1"], from_memory.maps["cdam"]["1"])
    assert from_file.name == "shown"


def test_importing_the_package_does_not_import_torch():
    code = "import cdam_bench, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
