"""Models of Hugging Face as backbones: what `transformers` computes, from its files and its objects."""

import pytest
import torch

from cdam_bench.backbones.hugging_face import from_hugging_face
from cdam_bench.estimators import CDAM
from tests.backbones.hugging_face_models import IMAGE_SIZE, MAKERS, make, save, textbook_cdam, theirs

IMAGES = torch.randn(2, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module", params=MAKERS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    return make(name)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return save(model, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def backbone(folder):
    return from_hugging_face(folder)


def test_outputs_are_those_of_transformers(model, backbone):
    with torch.no_grad():
        expected = theirs(model, IMAGES)
        torch.testing.assert_close(backbone.logits(IMAGES), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.1  # or weights that are left out would go unnoticed


def test_cdam_is_tokens_times_gradient_through_the_whole_model(model, backbone):
    for target in (0, 3):
        scores = CDAM().token_scores(backbone, IMAGES, torch.full((2,), target))
        torch.testing.assert_close(scores, textbook_cdam(model, IMAGES, target), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:this")
def test_a_model_object_gives_what_its_files_give_and_stays_as_it_is(model, backbone):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.train()
    of_object = from_hugging_face(model)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    model.eval()
    with torch.no_grad():
        assert torch.equal(of_object.logits(IMAGES), backbone.logits(IMAGES))
