"""Fidelity by path through the last block, against whole models with one module's output exchanged by a hook."""

import pytest
import torch

from cdam_bench.backbones import Backbone
from cdam_bench.errors import UserError
from cdam_bench.metrics import Fidelity, Subject, perturbation_curves
from cdam_bench.metrics.paths import PATHS, PathReader
from tests.agreement import assert_agree
from tests.conftest import random_images, random_vit
from tests.reference.paths import along_path
from tests.reference.perturbation import blur, perturbed_images

SIGMA, STEPS = 3.0, 3


@pytest.fixture(scope="module")
def maps(images):
    return torch.randn(len(images), 2, *images.shape[2:], generator=torch.Generator().manual_seed(8))


def test_every_path_equals_a_model_whose_last_attention_is_exchanged(any_backbone, any_textbook, images):
    perturbed, index = random_images(3, seed=5), torch.tensor([1, 0, 1])
    actual = PathReader(any_backbone, images, PATHS)(perturbed, index)
    for row, (image, own) in enumerate(zip(perturbed, index.tolist(), strict=True)):
        for column, path in enumerate(PATHS):
            expected = along_path(any_textbook, images[own], image, path)
            torch.testing.assert_close(actual[row, column].double(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("path", ["tokens", "cls"])
def test_curves_along_a_path_equal_a_loop_with_hooks(backbone, textbook, images, maps, path):
    actual = perturbation_curves(backbone, images, maps[:, 0], "mif", STEPS, SIGMA, path=path, batch_size=3)
    for b, image in enumerate(images):
        steps = perturbed_images(image, maps[b, 0], "mif", STEPS, blur(image, SIGMA))
        expected = torch.stack([along_path(textbook, image, one, path) for one in steps])
        torch.testing.assert_close(actual[b].double(), expected, rtol=1e-3, atol=1e-4)


def test_paths_recorded_together_equal_each_alone_and_share_their_passes(
    monkeypatch, backbone, images, maps, targets, seeds
):
    subject = Subject(backbone, images, targets, seeds)
    alone = {}
    for path in PATHS:
        alone |= vars(Fidelity(STEPS, SIGMA, path=path).measure(subject, maps))["curves"]
    passes, run = [], backbone.tokens_and_cls
    monkeypatch.setattr(backbone, "tokens_and_cls", lambda batch: passes.append(len(batch)) or run(batch))
    together = Fidelity(STEPS, SIGMA, path=list(PATHS)).measure(subject, maps).curves
    assert together.keys() == alone.keys() == {"fidelity_pixel", "fidelity_tokens_pixel", "fidelity_cls_pixel"}
    for name, curve in together.items():
        assert_agree(curve, alone[name], 1e-5)
    distinct = 2 * 2 * (STEPS - 1) + 2  # maps, orders, inner steps; 0 % and 100 %
    assert sum(passes) == len(images) * (distinct + 1)  # and the clean image once


def test_all_paths_start_at_the_images_own_logit(backbone, images, maps, targets, seeds):
    subject = Subject(backbone, images, targets, seeds)
    curves = Fidelity(STEPS, SIGMA, path=list(PATHS)).measure(subject, maps).curves
    for curve in curves.values():
        assert_agree(curve[:, 0, 0, 0], backbone.logits(images).gather(1, targets), 1e-5)


def test_columns_of_paths_units_and_fills_stand_side_by_side(backbone, images, maps, targets, seeds):
    subject = Subject(backbone, images, targets, seeds)
    metrics = [
        Fidelity(2, SIGMA, "both", path=["all", "tokens"]),
        Fidelity(2, SIGMA, "both", "noise", "absolute"),
        Fidelity(4, SIGMA, suffix="fine"),
    ]
    measured = [metric.measure(subject, maps) for metric in metrics]
    names = [name for one in measured for name in (*one.scores, *one.curves)]
    assert len(names) == len({*names})
    assert {"A_MIF", "A_MIF_tokens_patch", "A_LIF-MIF_noise_absolute_patch", "delta_A_LIF-MIF_fine"} <= {*names}
    for metric, one in zip(metrics, measured, strict=True):
        assert {column.name for column in metric.columns()} <= one.scores.keys()
        assert {curve.name for curve in metric.curves()} == one.curves.keys()


def test_paths_of_a_head_that_reads_the_mean_token_are_refused_in_one_line(images, maps):
    mean_pooled = Backbone(random_vit(global_pool="avg", fc_norm=False))
    assert perturbation_curves(mean_pooled, images, maps[:, 0], "mif", 1, SIGMA).isfinite().all()
    with pytest.raises(UserError, match=r"^path: .* this head reads something else: use path=all"):
        perturbation_curves(mean_pooled, images, maps[:, 0], "mif", 1, SIGMA, path="cls")


@pytest.mark.parametrize("path", ["stream", [], ["all", "all"], ["tokens", 1], None], ids=str)
def test_an_unknown_path_is_refused(path):
    with pytest.raises(UserError, match=r"^path=.* is unknown: use one or several of all, tokens, cls"):
        Fidelity(path=path)


@pytest.mark.parametrize("suffix", ["two words", "a/b", "", 3])
def test_a_suffix_that_is_no_word_is_refused(suffix):
    with pytest.raises(UserError, match=f"^suffix={suffix}: must be a word"):
        Fidelity(suffix=suffix)
