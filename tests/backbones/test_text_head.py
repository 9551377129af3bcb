"""Heads made of text: zero-shot logits as `transformers` computes them, on any number of classes and templates."""

import copy
import sys

import pytest
import torch
import torch.nn.functional as F

from cdam_bench.backbones import Backbone
from cdam_bench.backbones.hugging_face import from_hugging_face
from cdam_bench.backbones.hugging_face_files import find_model
from cdam_bench.backbones.text_head import TextHead, TextTower
from cdam_bench.errors import UserError
from cdam_bench.estimators import CDAM
from tests.backbones.hugging_face_models import IMAGE_SIZE, PATCH_SIZE, make, save, textbook_cdam

NAMES = ["cat", "dog", "grey owl"]
WORDS = ["<pad>", "<bos>", "<eos>", "a", "photo", "of", "sketch", "cat", "dog", "grey", "owl", ".", "<unk>"]
IMAGES = torch.randn(2, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(2))


def save_tokenizer(folder):
    """A tokenizer of a dozen words that ends every prompt with <eos>, as both families' do."""
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [tokenizers.pre_tokenizers.Whitespace(), tokenizers.pre_tokenizers.Punctuation()]
    )
    words.post_processor = tokenizers.processors.TemplateProcessing(
        "<bos> $A <eos>", None, [("<bos>", 1), ("<eos>", 2)]
    )
    special = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)


@pytest.fixture(scope="module", params=["clip", "siglip"])
def family(request):
    return request.param


@pytest.fixture(scope="module")
def model(family):
    return make(family)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = save(model, tmp_path_factory.mktemp("model"))
    save_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def tower(folder):
    return TextTower.of_files(find_model(folder))


def tokens_of(folder, family, prompts):
    from transformers import AutoTokenizer

    padding = {"padding": "max_length", "max_length": 12} if family == "siglip" else {"padding": True}
    tokens = AutoTokenizer.from_pretrained(folder)(prompts, return_tensors="pt", **padding)
    return {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}


class ZeroShot(torch.nn.Module):
    """The whole model with fixed prompts: images → logits_per_image."""

    def __init__(self, model, tokens):
        super().__init__()
        self.model, self.tokens = model, tokens

    def forward(self, pixel_values):
        logits = self.model(pixel_values=pixel_values, **self.tokens).logits_per_image
        return type("Output", (), {"logits": logits})


def test_logits_are_those_of_the_whole_model(model, family, folder, tower):
    backbone = from_hugging_face(folder, head=tower.head(NAMES))
    tokens = tokens_of(folder, family, [f"a photo of a {name}." for name in NAMES])
    assert len({tuple(row) for row in tokens["input_ids"].tolist()}) == len(NAMES)
    with torch.no_grad():
        expected = model(pixel_values=IMAGES, **tokens).logits_per_image
        torch.testing.assert_close(backbone.logits(IMAGES), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.05
    assert tuple(backbone.class_names) == tuple(NAMES)


def test_cdam_of_a_prompt_is_tokens_times_gradient_through_the_whole_model(model, family, folder, tower):
    backbone = from_hugging_face(folder, head=tower.head(NAMES))
    whole = ZeroShot(model, tokens_of(folder, family, [f"a photo of a {name}." for name in NAMES]))
    scores = CDAM().token_scores(backbone, IMAGES, torch.tensor([2, 2]))
    assert scores.shape == (2, IMAGE_SIZE // PATCH_SIZE, IMAGE_SIZE // PATCH_SIZE)
    torch.testing.assert_close(scores, textbook_cdam(whole, IMAGES, 2), rtol=1e-4, atol=1e-4)


def test_of_several_templates_the_mean_of_the_normalised_embeddings_counts(tower):
    both = tower.head(["dog"], ["a photo of a {}.", "a sketch of a {}."])
    single = torch.cat([tower.embeddings([f"a {kind} of a dog."]) for kind in ("photo", "sketch")])
    expected = F.normalize(F.normalize(single, dim=-1).mean(0), dim=-1)
    torch.testing.assert_close(both.embeddings[0], expected)


def test_clip_has_classes_that_compete_and_siglip_labels_with_a_bias(family, model, tower):
    head = tower.head(NAMES)
    if family == "clip":
        assert (head.output_kind, head.bias) == ("classes", 0.0)
    else:
        assert (head.output_kind, head.bias) == ("labels", pytest.approx(float(model.logit_bias.detach())))
    assert head.scale == pytest.approx(float(model.logit_scale.detach().exp()))


def test_a_model_without_text_and_a_folder_without_tokenizer_are_told(tmp_path):
    image_alone = save(make("clip-image"), tmp_path / "image")
    with pytest.raises(UserError, match="reads no text"):
        TextTower.of_files(find_model(image_alone))
    whole = save(make("clip"), tmp_path / "whole")
    with pytest.raises(UserError, match="has no tokenizer"):
        TextTower.of_files(find_model(whole))
    (whole / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="its text part cannot be read") as error:
        TextTower.of_files(find_model(whole))
    assert "\n" not in str(error.value)


def test_without_transformers_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"pip install 'cdam-bench\[hf\]'"):
        TextTower.of_files(find_model(folder))


@pytest.mark.parametrize("template", ["a photo", "{} and {}", "{0}", "{name}", ""])
def test_templates_have_one_place_for_the_name(template, tower):
    with pytest.raises(UserError, match="templates="):
        tower.head(NAMES, [template])


def test_a_text_head_is_a_scaled_cosine_plus_a_bias():
    embeddings, projection = torch.tensor([[3.0, 0.0], [0.0, 5.0]]), torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    head = TextHead(embeddings, ["x", "y"], scale=10.0, bias=-1.0, projection=projection)
    features = torch.tensor([[3.0, 2.0, 7.0]])  # projected to (3, 4): cosines 0.6 and 0.8
    torch.testing.assert_close(head(features), torch.tensor([[5.0, 7.0]]))
    assert head.num_features == 3


def test_a_text_head_stands_on_a_backbone_like_any_other(backbone):
    head = TextHead(torch.eye(4), list("abcd"), projection=torch.randn(4, backbone.embed_dim))
    other = copy.copy(backbone).with_head(head)
    assert isinstance(other, Backbone)
    assert other.num_classes == 4
    assert tuple(other.class_names) == ("a", "b", "c", "d")
