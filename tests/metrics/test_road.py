"""Imputation and ROAD against pytorch-grad-cam's sparse solver."""

import pytest
import torch
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from torch.nn.functional import interpolate

from cdam_bench.metrics import Fidelity, Road, Subject, fills, perturbation_curves, road
from cdam_bench.metrics.imputation import impute
from tests.conftest import random_images
from tests.reference.perturbation import order_of_pixels

SOLVER = NoisyLinearImputer(noise=0.0)


def solved(image, missing):
    """The imputed image (3, H, W), by a sparse direct solver."""
    return SOLVER(image, (~missing).float())


@pytest.fixture
def without_noise(monkeypatch):
    monkeypatch.setattr(fills, "IMPUTATION_NOISE", 0.0)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["pixels", "patches", "hole"])
def test_imputed_pixels_are_those_of_a_direct_solver(kind, share):
    generator = torch.Generator().manual_seed(0)
    image = interpolate(torch.randn(1, 3, 10, 12, generator=generator), scale_factor=4, mode="bicubic")
    height, width = image.shape[-2:]
    missing = torch.zeros(1, 1, height, width, dtype=torch.bool)
    if kind == "hole":
        missing[..., : round(height * share**0.5), : round(width * share**0.5)] = True
    else:
        fine = torch.rand(1, 1, *((height, width) if kind == "pixels" else (5, 6)), generator=generator)
        missing = interpolate(fine, size=(height, width)) < share
    found = impute(image, missing)
    torch.testing.assert_close(found[0], solved(image[0], missing[0, 0]), rtol=0, atol=2e-3)
    assert torch.equal(found[~missing.expand_as(found)], image[~missing.expand_as(image)])


def test_a_linear_ramp_is_filled_in_exactly_and_nothing_known_gives_the_mean_colour():
    ramp = torch.linspace(-1, 1, 24).expand(1, 3, 20, 24).contiguous()
    missing = torch.zeros(1, 1, 20, 24, dtype=torch.bool)
    missing[..., 5:15, 6:18] = True
    torch.testing.assert_close(impute(ramp * ~missing, missing), ramp, rtol=0, atol=1e-4)
    assert impute(ramp, torch.ones_like(missing)).eq(0).all()


def test_images_do_not_mix_in_a_batch():
    images, missing = random_images(3), torch.rand(3, 1, 32, 48, generator=torch.Generator().manual_seed(2)) < 0.6
    missing = missing[..., : images.shape[-2], : images.shape[-1]]
    alone = torch.cat([impute(images[i : i + 1], missing[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(impute(images, missing), alone, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("without_noise")
def test_road_is_half_the_mean_gap_between_both_orders(textbook, backbone, images, targets, seeds):
    maps = torch.randn(len(images), 2, *images.shape[-2:], generator=torch.Generator().manual_seed(3))
    scores = Road().measure(Subject(backbone, images, targets, seeds), maps).scores
    for k, name in ((0, "road"), (1, "wrong_road")):
        gaps = []
        for percent in range(10, 100, 10):
            logits = {}
            for order in ("mif", "lif"):
                missing = torch.zeros(images.shape[-2] * images.shape[-1], dtype=torch.bool)
                missing[order_of_pixels(maps[0, k], order)[: round(len(missing) * percent / 100)]] = True
                image = solved(images[0], missing.reshape(images.shape[-2:]))
                logits[order] = textbook(image[None].double())[0, targets[0, 0]].item()
            gaps.append((logits["lif"] - logits["mif"]) / 2)
        assert scores[name][0].item() == pytest.approx(sum(gaps) / 9, abs=2e-3)
    assert scores["delta_road"].tolist() == pytest.approx((scores["road"] - scores["wrong_road"]).tolist())
    assert torch.allclose(road(backbone, images, maps[:, 0], targets[:, 0], seeds), scores["road"], atol=1e-6)


@pytest.mark.usefixtures("without_noise")
def test_imputation_is_a_fill_of_fidelity_too(backbone, images, targets, seeds):
    maps = torch.randn(len(images), 1, *images.shape[-2:], generator=torch.Generator().manual_seed(4))
    curves = Fidelity(10, fill="linear").measure(Subject(backbone, images, targets[:, :1], seeds), maps).curves
    alone = perturbation_curves(backbone, images, maps[:, 0], "lif", 10, fill="linear", seeds=seeds)
    found = curves["fidelity_linear_pixel"][:, 0, 1, :, 0]
    torch.testing.assert_close(
        found, alone.gather(2, targets[:, None, :1].expand(-1, 11, -1))[..., 0], rtol=1e-4, atol=1e-5
    )
