"""preprocessor_config.json: the same images as `transformers` makes of a picture."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from cdam_bench.backbones.hugging_face_models import DEFAULTS
from cdam_bench.backbones.hugging_face_preprocessing import HuggingFacePreprocessing, preprocessing_settings
from cdam_bench.errors import UserError

CONFIGS = {
    "ViT: both sides, whatever the shape": {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 48, "width": 48},
    },
    "ViT's old layout: one number is both sides": {
        "feature_extractor_type": "ViTFeatureExtractor",
        "size": 48,
        "resample": 2,
        "image_mean": [0.4, 0.5, 0.6],
        "image_std": [0.2, 0.25, 0.3],
    },
    "DeiT's old layout: both sides and a crop": {
        "feature_extractor_type": "DeiTFeatureExtractor",
        "size": 56,
        "crop_size": 48,
        "resample": 3,
        "do_center_crop": True,
    },
    "CLIP's old layout: one number is the shorter side": {
        "feature_extractor_type": "CLIPFeatureExtractor",
        "size": 48,
        "crop_size": 48,
        "do_center_crop": True,
    },
    "CLIP: numbers that the file leaves out": {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 51},
        "crop_size": {"height": 48, "width": 48},
    },
    "DINOv2: the shorter side and a crop": {
        "image_processor_type": "BitImageProcessor",
        "size": {"shortest_edge": 55},
        "crop_size": {"height": 48, "width": 48},
        "resample": 3,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    },
    "BEiT": {
        "image_processor_type": "BeitImageProcessor",
        "size": {"height": 64, "width": 64},
        "crop_size": {"height": 48, "width": 48},
        "do_center_crop": True,
    },
    "SigLIP, without rescaling to 1": {
        "image_processor_type": "SiglipImageProcessor",
        "size": {"height": 48, "width": 48},
        "rescale_factor": 2 / 255,
    },
    "not normalised": {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 48, "width": 48},
        "do_normalize": False,
    },
    "a crop larger than the picture": {
        "image_processor_type": "DeiTImageProcessor",
        "do_resize": False,
        "crop_size": {"height": 75, "width": 75},
    },
    "Lanczos": {"image_processor_type": "ViTImageProcessor", "size": {"height": 48, "width": 48}, "resample": 1},
}


def picture(width=83, height=70):
    """A picture with edges, gradients and noise."""
    rows, columns = np.mgrid[:height, :width]
    channels = [128 + 127 * np.sin(columns / 5), (rows * 3) % 256, 255.0 * ((rows // 9 + columns // 7) % 2)]
    noise = np.random.default_rng(0).normal(0, 12, (height, width, 3))
    return Image.fromarray((np.stack(channels, -1) + noise).clip(0, 255).astype(np.uint8))


def ours(config, **options):
    return HuggingFacePreprocessing(**preprocessing_settings(config, "vit", 1, **options))


def of_transformers(config, folder, shape, **options):
    transformers = pytest.importorskip("transformers")
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    processor = transformers.AutoImageProcessor.from_pretrained(folder, **options)
    return torch.as_tensor(processor(picture(*shape), return_tensors="pt")["pixel_values"])[0]


def in_255(found, expected, preprocessing):
    """Differences in steps of 8-bit values."""
    assert found.shape == expected.shape
    return (found - expected).abs() * torch.tensor(preprocessing.std)[:, None, None] * 255


@pytest.mark.parametrize("name", CONFIGS)
def test_images_are_those_of_transformers(name, tmp_path):
    preprocessing = ours(CONFIGS[name])
    found = preprocessing(picture())
    difference = in_255(found, of_transformers(CONFIGS[name], tmp_path, (83, 70)), preprocessing)
    assert difference.max() < 2  # torch's filters and PIL's round differently
    assert difference.mean() < 0.1  # and rarely
    shown = preprocessing.to_pixels(found)
    assert float(shown.min()) >= 0
    assert float(shown.max()) <= 1


@pytest.mark.parametrize("name", [name for name in CONFIGS if "larger" not in name])  # where PIL's pads in another way
@pytest.mark.parametrize("shape", [(83, 70), (40, 61), (48, 48)])
def test_images_are_exactly_those_of_transformers_where_it_resizes_with_pil(name, shape, tmp_path):
    preprocessing = ours(CONFIGS[name])
    expected = of_transformers(CONFIGS[name], tmp_path, shape, backend="pil")
    assert in_255(preprocessing(picture(*shape)), expected, preprocessing).max() < 1e-3


@pytest.mark.parametrize("kind", DEFAULTS)
def test_what_a_file_leaves_out_is_what_transformers_takes(kind):
    transformers = pytest.importorskip("transformers")
    own = {
        "dinov2": "Bit",
        "dinov2_with_registers": "Bit",
        "clip_vision_model": "CLIP",
        "siglip_vision_model": "Siglip",
    }
    name = own.get(kind, {"vit": "ViT", "deit": "DeiT", "beit": "Beit"}.get(kind))
    processor = getattr(transformers, f"{name}ImageProcessor")()
    found = preprocessing_settings({}, kind, 1)
    size = dict(processor.size)
    assert found["resize"] == [value for key in ("height", "width", "shortest_edge") if (value := size.get(key))]
    assert found["crop"] == ([224, 224] if processor.do_center_crop else None)
    assert found["mean"] == list(processor.image_mean)
    assert found["std"] == list(processor.image_std)


def test_the_image_ends_with_the_last_whole_patch():
    config = {"size": {"height": 50, "width": 50}}
    whole = HuggingFacePreprocessing(**preprocessing_settings(config, "vit", 1))
    cut = HuggingFacePreprocessing(**preprocessing_settings(config, "vit", 16))
    assert cut.image_size == 48
    assert torch.equal(cut(picture()), whole(picture())[:, :48, :48])


def test_another_size_is_reached_in_proportion():
    config = {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 256}}
    settings = preprocessing_settings(config, "dinov2", 14, image_size=112)
    assert (settings["image_size"], settings["resize"], settings["crop"]) == (112, [128], [112, 112])


def test_what_is_done_can_be_said_in_one_line():
    said = str(ours(CONFIGS["DINOv2: the shorter side and a crop"]))
    assert said.startswith(
        "shorter side to 55 pixels (bicubic), centre 48×48, image 48², mean 0.485 0.456 0.406, std 0.229"
    )
    assert str(ours(CONFIGS["ViT: both sides, whatever the shape"])).startswith("48×48 pixels (bilinear), image 48²")
    assert str(ours(CONFIGS["a crop larger than the picture"])).startswith("centre 75×75, image 75²")


def test_a_drawn_scene_of_the_right_size_is_only_normalised():
    scene = torch.rand(3, 48, 48)
    config = CONFIGS["DINOv2: the shorter side and a crop"] | {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    torch.testing.assert_close(ours(config)(scene), 2 * scene - 1)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"size": {"height": 48, "width": 40}}, "must be square"),
        ({"image_processor_type": "CLIPImageProcessor", "do_center_crop": False}, "must be square"),
        ({"do_resize": False}, "must be square"),
        ({"size": {"longest_edge": 48}}, "give height and width, or shortest_edge"),
        ({"size": "large"}, "must be a positive whole number"),
        ({"resample": 9}, "resample=9 of preprocessor_config.json is unknown"),
        ({"image_mean": [0.5, 0.5]}, "three numbers"),
        ({"image_std": [0.5, 0.0, 0.5]}, "must be positive"),
    ],
)
def test_a_file_that_makes_no_square_image_is_told_in_one_line(config, message):
    with pytest.raises(UserError, match=message):
        HuggingFacePreprocessing(**preprocessing_settings(config, "vit", 16))
