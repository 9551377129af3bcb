"""Every estimator on every family of models: the table of docs/families.md, and the CDAMs and GradCAM against textbook autograd."""

import copy
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from omegaconf import OmegaConf
from timm.models.vision_transformer import ParallelScalingBlock

from cdam_bench.backbones import Backbone, LinearHead
from cdam_bench.backbones.families import FOR_EVERY_FAMILY
from cdam_bench.configs import choices, config_dir, instantiate
from cdam_bench.errors import UserError
from cdam_bench.estimators import CDAM, GradCAM, IntegratedCDAM, SmoothCDAM
from cdam_bench.estimators.noise import standard_normal
from tests.agreement import assert_agree

PAGE = Path(__file__).parents[2] / "docs" / "families.md"
CLASSES = 7
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
STAGES = {"depths": (1, 1, 2), "num_heads": (1, 2, 3), "embed_dim": 12, "window_size": 4, "img_size": 64}
CHEAP = {  # arguments of estimators that set how often the model runs
    "num_samples": 2,
    "num_steps": 2,
    "num_passes": 40,
    "internal_batch_size": 64,
    "cells": 3,
    "cell": 1,
}


def model_of(architecture, seed=0, **options):
    """A small timm model of random weights, none of its numbers special."""
    torch.manual_seed(seed)
    model = timm.create_model(architecture, num_classes=CLASSES, **options).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.3 * torch.randn_like(parameter)
    return model


# column of the table → what makes the model, side of its images, and the module whose output is T (None: the last stage)
FAMILIES = {
    "ViT, [CLS]": (lambda: model_of("vit_tiny_patch16_224", **VIT), 32, "blocks.1.norm1"),
    "ViT, mean": (lambda: model_of("vit_tiny_patch16_224", **VIT, global_pool="avg"), 32, "blocks.1.norm1"),
    "ViT, attention pool": (lambda: model_of("vit_tiny_patch16_224", **VIT, global_pool="map"), 32, "blocks.1.norm1"),
    "[CLS] + mean": (lambda: model_of("vit_tiny_patch16_224", **VIT), 32, "blocks.1.norm1"),
    "distilled": (lambda: model_of("deit_tiny_distilled_patch16_224", **VIT), 32, "blocks.1.norm1"),
    "Eva": (lambda: model_of("eva02_tiny_patch14_224", **VIT), 32, "blocks.1.norm1"),
    "BEiT": (lambda: model_of("beit_base_patch16_224", **VIT), 32, "blocks.1.norm1"),
    "Swin": (lambda: model_of("swin_tiny_patch4_window7_224", **STAGES), 64, "layers.2.blocks.1.norm1"),
    "PVT v2": (
        lambda: model_of("pvt_v2_b0", embed_dims=(8, 16, 16, 24), depths=(1, 1, 1, 2), num_heads=(1, 1, 2, 2)),
        70,
        "stages.3.blocks.1.norm1",
    ),
    "convolutional": (lambda: model_of("convnext_atto", depths=(1, 1, 1, 1), dims=(8, 8, 16, 24)), 70, None),
}
# further models of the last columns, for the comparisons alone
FURTHER = {
    "max": (lambda: model_of("vit_tiny_patch16_224", **VIT, global_pool="max"), 32, "blocks.1.norm1"),
    "avgmax": (lambda: model_of("vit_tiny_patch16_224", **VIT, global_pool="avgmax"), 32, "blocks.1.norm1"),
    "query norms": (lambda: model_of("vit_tiny_patch16_224", **VIT, qk_norm=True), 32, "blocks.1.norm1"),
    "parallel": (
        lambda: model_of("vit_tiny_patch16_224", **VIT, block_fn=ParallelScalingBlock),
        32,
        "blocks.1.in_norm",
    ),
    "Swin V2": (lambda: model_of("swinv2_tiny_window8_256", **STAGES), 64, None),
    "ResNet": (lambda: model_of("resnet10t"), 70, None),
}


def backbone_of(name, model):
    if name != "[CLS] + mean":
        return Backbone(model)
    torch.manual_seed(1)
    return Backbone(model, LinearHead(2 * 24, CLASSES, reads_mean=True))


@pytest.fixture(scope="module")
def backbones():
    return {name: backbone_of(name, make()) for name, (make, _, _) in FAMILIES.items()}


@cache
def table():
    """(estimator, family) → ✓ or –, from the page."""
    rows = [
        [cell.strip().strip("`") for cell in line.strip("|\n ").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    header = next(row for row in rows if row[0] == "estimator")
    return {
        (row[0], family): mark
        for row in rows[rows.index(header) + 1 :]
        if len(row) == len(header) and row[0] in choices("estimator")
        for family, mark in zip(header[1:], row[1:], strict=True)
    }


def estimator_of(name):
    settings = OmegaConf.load(config_dir() / "estimator" / f"{name}.yaml")
    cheap = {key: value for key, value in CHEAP.items() if key in settings}
    return instantiate(OmegaConf.merge(settings, cheap), "estimator")


def images_of(side):
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(5))


TARGETS = torch.tensor([[3, 0], [6, 2]])


def test_the_page_has_every_estimator_and_every_family():
    assert set(table()) == {(name, family) for name in choices("estimator") for family in FAMILIES}


def test_the_message_names_just_the_methods_that_work_for_every_family():
    everywhere = {name for name in choices("estimator") if all(table()[name, family] == "✓" for family in FAMILIES)}
    assert set(FOR_EVERY_FAMILY) == everywhere


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", choices("estimator"))
def test_the_page_is_true(name, family, backbones):
    backbone, side = backbones[family], FAMILIES[family][1]
    estimator, images = estimator_of(name), images_of(side)
    if table()[name, family] == "✓":
        maps = estimator.attribute(backbone, images, TARGETS, torch.tensor([1, 2]))
        assert maps.shape == (2, 2, side, side)
        assert maps.isfinite().all()
    else:
        with pytest.raises(UserError, match=r"needs a ViT of standard blocks .*: use one of cdam") as error:
            estimator.attribute(backbone, images, TARGETS)
        assert "\n" not in str(error.value)


class Textbook:
    """A whole model in double precision, whose tokens can be taken and replaced at one place.

    Args:
        model: of timm.
        place: name of the module whose output is T; None: what `forward_features` returns.
    """

    def __init__(self, model, place):
        self.model = copy.deepcopy(model).double()
        self.inner, self.given, self.seen = self.model.forward_features, None, None
        if place is None:
            self.model.forward_features = lambda images: self.pass_on(self.inner(images))
        else:
            module = self.model.get_submodule(place)
            module.register_forward_hook(lambda _module, _inputs, output: self.pass_on(output))
        self.channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC" or place is not None

    def pass_on(self, output):
        self.seen = output.detach() if self.given is None else self.given
        return self.seen.requires_grad_()

    def tokens(self, image):
        self.given = None
        self.model(image[None].double())
        return self.seen.detach()

    def gradient(self, image, target, tokens):
        """∂f/∂T at `tokens`, in their shape."""
        self.given = tokens.detach().clone()
        logit = self.model(image[None].double())[0, target]
        return torch.autograd.grad(logit, self.seen)[0]

    def flat(self, values, first):
        """Values in T's shape → (N, D), without prefix tokens."""
        values = values if self.channels_last else values.movedim(1, -1)
        return values.flatten(1, -2)[0, first:]


def expected_maps(textbook, image, target, first, seed):
    """CDAM, Smooth CDAM (3 passes), Integrated CDAM (4 points) and GradCAM, (N,) each."""
    tokens = textbook.tokens(image)

    def product(at, values):
        return textbook.flat(values * textbook.gradient(image, target, at), first).sum(-1)

    flat = tokens if textbook.channels_last else tokens.movedim(1, -1)
    shape = flat.flatten(1, -2).shape[1:]
    noise = standard_normal((3, *shape), seed, torch.device("cpu")).double()
    sigma = 0.1 * (tokens.max() - tokens.min())
    smooth = 0
    for draw in noise:
        noisy = flat + sigma * draw.reshape(flat.shape)
        noisy = noisy if textbook.channels_last else noisy.movedim(-1, 1)
        smooth = smooth + product(noisy, noisy) / 3
    nodes, weights = np.polynomial.legendre.leggauss(4)
    pairs = zip((nodes + 1) / 2, weights / 2, strict=True)
    integrated = sum(weight * product(alpha * tokens, tokens) for alpha, weight in pairs)
    gradient = textbook.flat(textbook.gradient(image, target, tokens), first)
    gradcam = (textbook.flat(tokens, first) @ gradient.mean(0)).relu()
    return [part.detach() for part in (product(tokens, tokens), smooth, integrated, gradcam)]


@pytest.mark.parametrize("family", [name for name in FAMILIES | FURTHER if name != "[CLS] + mean"])
def test_the_cdams_and_gradcam_equal_autograd_through_the_whole_model(family):
    make, side, place = (FAMILIES | FURTHER)[family]
    model, images, seeds = make(), images_of(side), torch.tensor([4, 9])
    textbook, backbone = Textbook(model, place), Backbone(copy.deepcopy(model))
    assert_agree(backbone.logits(images), model(images).detach())
    rows = [
        [expected_maps(textbook, images[b], int(target), backbone.num_prefix_tokens, int(seeds[b])) for target in own]
        for b, own in enumerate(TARGETS)
    ]
    methods = (CDAM(), SmoothCDAM(3, 0.1), IntegratedCDAM(4), GradCAM())
    for index, method in enumerate(methods):
        expected = torch.stack([torch.stack([maps[index] for maps in row]) for row in rows])  # (B, K, N)
        actual = method.token_scores(backbone, images, TARGETS, seeds)
        assert actual.shape[2:] == backbone.grid(images)
        scale = torch.stack([torch.stack([maps[0] for maps in row]) for row in rows]).abs().amax()
        assert (actual.flatten(2) - expected).abs().amax() <= 1e-4 * max(expected.abs().amax(), scale), type(method)


def test_every_pixel_takes_the_score_of_the_token_it_lies_in_where_the_stride_does_not_divide(backbones):
    backbone = backbones["convolutional"]
    assert backbone.patch_size == 32
    on_pixels = backbone.on_pixels(torch.tensor([[[0, 1], [2, 3]]]), (70, 71))
    assert on_pixels.shape == (1, 70, 71)
    assert on_pixels[0, :, 0].tolist() == [0] * 35 + [2] * 35
    assert on_pixels[0, 0].tolist() == [0] * 36 + [1] * 35
