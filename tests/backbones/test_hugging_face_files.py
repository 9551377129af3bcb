"""Folders of Hugging Face: what is read from them, and what is said of those that cannot be read."""

import json
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from cdam_bench.backbones.hugging_face import from_hugging_face, load_hugging_face, settings_of
from cdam_bench.backbones.hugging_face_files import cell_name, find_model
from cdam_bench.backbones.hugging_face_models import DEFAULTS, SUPPORTED, image_config
from cdam_bench.errors import UserError
from tests.backbones.hugging_face_models import IMAGE_SIZE, PATCH_SIZE, SQUARE, make, save

IMAGES = torch.randn(1, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def model():
    return make("vit")


@pytest.fixture
def folder(model, tmp_path):
    return save(model, tmp_path / "model")


def logits(folder):
    with torch.no_grad():
        return from_hugging_face(folder).logits(IMAGES)


def test_weights_in_several_files_and_in_torchs_layout_are_read(folder):
    expected = logits(folder)
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, keys in parts.items():
        save_file({key: tensors[key] for key in keys}, folder / file)
    index = {"weight_map": {key: file for file, keys in parts.items() for key in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()
    assert torch.equal(logits(folder), expected)
    for file in folder.glob("model*"):
        file.unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    assert torch.equal(logits(folder), expected)


def test_safetensors_are_read_before_others(folder):
    expected = logits(folder)
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    assert torch.equal(logits(folder), expected)


def test_half_precision_is_read_as_single(tmp_path):
    folder = save(make("vit").half(), tmp_path / "half")
    assert logits(folder).dtype == torch.float32


class Harmful:
    def __reduce__(self):
        return (print, ("it ran",))


def broken(folder, what):
    """Breaks a folder in one way."""
    config = json.loads((folder / "config.json").read_text())
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    if what == "no config":
        (folder / "config.json").unlink()
    elif what == "config of another kind":
        (folder / "config.json").write_text(json.dumps(config | {"model_type": "convnext"}))
    elif what == "config that is cut":
        (folder / "config.json").write_text('{"model_type": "vi')
    elif what == "unknown activation":
        (folder / "config.json").write_text(json.dumps(config | {"hidden_act": "mish"}))
    elif what == "no preprocessor":
        (folder / "preprocessor_config.json").unlink()
    elif what == "no weights":
        weights.unlink()
    elif what == "weights that are cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif what == "a key is missing":
        save_file(
            {key: value for key, value in tensors.items() if not key.endswith("1.attention.attention.key.weight")},
            weights,
        )
    elif what == "another depth":
        (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    elif what == "another width":
        (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}))
    elif what == "objects":
        weights.unlink()
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weights": Harmful()}, protocol=2))
    elif what == "lists":
        weights.unlink()
        torch.save({"weights": [1, 2]}, folder / "pytorch_model.bin")
    elif what == "an index without map":
        weights.unlink()
        (folder / "model.safetensors.index.json").write_text("{}")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no config", "has no config.json: give a folder that save_pretrained made"),
        (
            "config of another kind",
            f"model_type=convnext of config.json is not supported: use one of {', '.join(SUPPORTED)}",
        ),
        ("config that is cut", "cannot be read"),
        ("unknown activation", "hidden_act=mish of config.json is not supported"),
        ("no preprocessor", "has no preprocessor_config.json"),
        ("no weights", "has no model.safetensors or pytorch_model.bin"),
        ("weights that are cut", "damaged or half-downloaded"),
        (
            "a key is missing",
            "missing blocks.1.attn.qkv.weight; unexpected blocks.1.attn.q.weight, blocks.1.attn.v.weight",
        ),
        ("another depth", "unexpected blocks.1."),
        ("another width", "of another shape: blocks.0.mlp.fc1.bias"),
        ("objects", "cannot be read"),
        ("lists", "does not hold a state dict of tensors"),
        ("an index without map", "has no weight_map"),
    ],
)
def test_a_broken_folder_is_told_in_one_line(what, message, folder, capsys):
    broken(folder, what)
    with pytest.raises(UserError) as error:
        from_hugging_face(folder)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "it ran" not in capsys.readouterr().out


@pytest.mark.parametrize("path", ["./nowhere", "/nowhere/model", "a/b/c", "~/nowhere/model", "  "])
def test_a_path_that_is_neither_folder_nor_id_is_told(path):
    with pytest.raises(UserError, match="path="):
        find_model(path)


def test_a_file_instead_of_a_folder_is_told(folder):
    with pytest.raises(UserError, match="give the folder that holds"):
        find_model(folder / "model.safetensors")


def test_an_id_that_cannot_be_reached_is_told_in_one_line(monkeypatch):
    import huggingface_hub

    def unreachable(*_arguments, **_options):
        raise OSError("no network\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(UserError, match="could not be downloaded from Hugging Face's hub") as error:
        find_model("owner/never-asked")
    assert "\n" not in str(error.value)


def test_an_id_is_taken_from_where_the_hub_puts_it_safetensors_first(folder, monkeypatch):
    import huggingface_hub

    asked = []
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda name, allow_patterns: asked.append((name, allow_patterns)) or str(folder),
    )
    files = find_model("owner/kept")
    assert torch.equal(logits(files.folder), logits(folder))
    assert (files.name, cell_name("owner/kept")) == ("owner/kept", "owner--kept")
    assert [name for name, _ in asked] == ["owner/kept"]
    assert not any("bin" in pattern for pattern in asked[0][1])


def test_a_folder_is_also_looked_for_among_the_weights(folder):
    assert find_model("model", weights_dir=folder.parent).folder == folder
    assert settings_of("name", "model", folder.parent) == "model"
    assert settings_of("image_size", "model", folder.parent) == IMAGE_SIZE


def test_what_a_config_leaves_out_is_what_transformers_takes():
    transformers = pytest.importorskip("transformers")
    for kind, defaults in DEFAULTS.items():
        known = transformers.AutoConfig.for_model(kind).to_dict()
        of_all = {"qkv_bias"} if kind.endswith("vision_model") or kind == "beit" else set()
        assert {key: known[key] for key in defaults if key not in of_all} == {
            key: value for key, value in defaults.items() if key not in of_all
        }
    assert image_config({"model_type": "siglip"})["image_size"] == 224


def test_class_names_are_those_of_id2label_unless_they_are_numbers(model, tmp_path):
    named, numbered = make("vit"), model
    named.config.id2label = {4: "cow", 0: "cat", 1: "dog", 2: "owl", 3: "fox"}
    assert from_hugging_face(save(named, tmp_path / "named")).class_names == ("cat", "dog", "owl", "fox", "cow")
    assert from_hugging_face(save(numbered, tmp_path / "numbered")).class_names is None


@pytest.mark.parametrize("name", ["dinov2", "dinov2-registers", "vit", "siglip-image"])
def test_images_of_another_size_get_positions_resampled_as_transformers_does(name, tmp_path):
    model = make(name)
    size = {"height": 48, "width": 48}
    backbone = from_hugging_face(save(model, tmp_path, SQUARE | {"size": size}))
    images = torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(4))
    always = {} if "dinov2" in name else {"interpolate_pos_encoding": True}  # DINOv2 always resamples
    with torch.no_grad():
        found = model(pixel_values=images, **always)
        expected = found.pooler_output if name == "siglip-image" else found.logits
        torch.testing.assert_close(backbone.logits(images), expected, rtol=1e-4, atol=1e-4)
    assert backbone.image_size == (48, 48)


def test_relative_positions_are_not_resampled(tmp_path):
    folder = save(make("beit"), tmp_path, SQUARE | {"size": {"height": 48, "width": 48}})
    with pytest.raises(
        UserError, match="image_size=48: this BEiT has relative positions for images of 32 pixels alone"
    ):
        from_hugging_face(folder)


def test_pixels_beyond_the_last_whole_patch_are_cut_as_the_model_ignores_them(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.SiglipVisionConfig(
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=40,
        image_size=35,
        patch_size=PATCH_SIZE,
    )
    tower = transformers.SiglipVisionModel(config).eval()
    backbone = from_hugging_face(save(tower, tmp_path, {"size": {"height": 35, "width": 35}}))
    images = torch.randn(1, 3, 35, 35)
    with torch.no_grad():
        torch.testing.assert_close(
            backbone.logits(images[:, :, :32, :32]), tower(pixel_values=images).pooler_output, rtol=1e-4, atol=1e-4
        )
    assert backbone.preprocessing.image_size == 32


def test_a_model_object_without_preprocessing_takes_its_familys_and_says_so(model):
    with pytest.warns(UserWarning, match=r"comes without preprocessor_config.json.*32 × 32"):
        backbone = from_hugging_face(model)
    assert backbone.preprocessing.mean == (0.5, 0.5, 0.5)


def test_a_model_object_takes_the_preprocessing_from_where_it_was_loaded(folder, recwarn):
    transformers = pytest.importorskip("transformers")
    config = SQUARE | {"image_mean": [0.1, 0.2, 0.3]}
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    backbone = from_hugging_face(transformers.ViTForImageClassification.from_pretrained(folder))
    assert backbone.preprocessing.mean == (0.1, 0.2, 0.3)
    assert not [warning for warning in recwarn if "comes without" in str(warning.message)]


def test_what_is_no_model_is_told():
    with pytest.raises(UserError, match="is no model of Hugging Face"):
        from_hugging_face(torch.nn.Linear(2, 2))


def test_a_run_needs_a_classifier_or_a_head(tmp_path):
    folder = save(make("clip-image"), tmp_path)
    with pytest.raises(UserError, match="has no classifier: give backbone"):
        load_hugging_face(folder)
    assert load_hugging_face(folder, head=torch.nn.Linear(24, 3)).num_classes == 3
