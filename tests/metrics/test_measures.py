"""Fidelity, BoxSensitivity and Compactness: which map, order and output each column and curve is about."""

import numpy as np
import pytest
import torch

from cdam_bench.errors import UserError
from cdam_bench.estimators import CDAM, AttentionMap
from cdam_bench.metrics import BoxSensitivity, Compactness, Fidelity, Subject, draw_boxes
from tests.conftest import IMAGE_SIZE
from tests.reference.perturbation import (
    box_correlation,
    box_drop,
    compactness,
    curve_area,
    perturbation_curve,
)

STEPS, SIGMA = 5, 3.0
SIZES, NUM_BOXES = [10.0, 30.0, 40.0], 8


@pytest.fixture
def subject(backbone, images, targets, seeds):
    return Subject(backbone, images, targets, seeds)


@pytest.fixture
def maps(backbone, images, targets):
    return CDAM().attribute(backbone, images, targets)


@pytest.fixture
def blind_maps(backbone, images, targets):
    return AttentionMap().attribute(backbone, images, targets)


def measured(metric, subject, maps):
    """Scores and curves, with what the metric prepares."""
    subject.shared.update(metric.prepare(subject))
    return metric.measure(subject, maps)


def test_fidelity_records_each_targets_logit_under_each_targets_ranking(textbook, subject, maps, images, targets):
    found = measured(Fidelity(STEPS, SIGMA), subject, maps)
    for b, image in enumerate(images):
        areas = {}
        for ranked in range(2):
            for order in ("mif", "lif"):
                curve = perturbation_curve(textbook, image, maps[b, ranked], order, STEPS, SIGMA)
                for recorded in range(2):
                    of_target = curve[:, targets[b, recorded]]
                    areas[ranked, order, recorded] = curve_area(of_target)
                    actual = found.curves["fidelity_pixel"][b, ranked, int(order == "lif"), :, recorded]
                    torch.testing.assert_close(actual.double(), of_target, rtol=1e-4, atol=1e-5)
        for k, prefix in enumerate(("", "other_")):
            gap, wrong_gap = (areas[r, "lif", k] - areas[r, "mif", k] for r in (k, 1 - k))
            expected = {
                "A_MIF": areas[k, "mif", k],
                "A_LIF": areas[k, "lif", k],
                "A_LIF-MIF": gap,
                "wrong_A_MIF": areas[1 - k, "mif", k],
                "wrong_A_LIF": areas[1 - k, "lif", k],
                "wrong_A_LIF-MIF": wrong_gap,
                "delta_A_LIF-MIF": gap - wrong_gap,
            }
            for name, value in expected.items():
                assert float(found.scores[prefix + name][b]) == pytest.approx(value, rel=1e-4, abs=1e-3)


def test_fidelity_in_both_units_gives_the_columns_of_each(subject):
    maps = torch.randn(2, 2, *IMAGE_SIZE, generator=torch.Generator().manual_seed(13))
    both = measured(Fidelity(STEPS, SIGMA, "both"), subject, maps)
    for unit, suffix in (("pixel", ""), ("patch", "_patch")):
        alone = measured(Fidelity(STEPS, SIGMA, unit), subject, maps)
        np.testing.assert_allclose(
            both.curves[f"fidelity_{unit}"], alone.curves[f"fidelity_{unit}"], rtol=1e-4, atol=1e-5
        )
        for name, values in alone.scores.items():
            assert name.endswith("_patch") == bool(suffix)
            np.testing.assert_allclose(both.scores[name], values, rtol=1e-4, atol=1e-3)


def test_box_sensitivity_correlates_each_map_with_each_targets_drops(textbook, subject, maps, images, targets, seeds):
    found = measured(BoxSensitivity(SIZES, NUM_BOXES, SIGMA), subject, maps)
    boxes = draw_boxes(seeds, SIZES, NUM_BOXES, IMAGE_SIZE)
    for b, image in enumerate(images):
        r = np.empty((2, len(SIZES), 2))
        for recorded in range(2):
            for s in range(len(SIZES)):
                drops = [box_drop(textbook, image, box, int(targets[b, recorded]), SIGMA) for box in boxes[b, s]]
                for ranked in range(2):
                    r[ranked, s, recorded] = box_correlation(maps[b, ranked], boxes[b, s], drops)
        np.testing.assert_allclose(found.curves["box_r"][b], r, atol=1e-4)
        for k, prefix in enumerate(("", "other_")):
            own, wrong = (np.trapezoid(r[ranked, :, k], x=SIZES) for ranked in (k, 1 - k))
            expected = {
                "A_box": own,
                "mean_r": r[k, :, k].mean(),
                "wrong_A_box": wrong,
                "delta_A_box": own - wrong,
            }
            for name, value in expected.items():
                assert float(found.scores[prefix + name][b]) == pytest.approx(value, abs=1e-2)


def test_attention_map_has_zero_class_discrimination(subject, blind_maps):
    fidelity = measured(Fidelity(STEPS, SIGMA, "both"), subject, blind_maps).scores
    box = measured(BoxSensitivity(SIZES, NUM_BOXES, SIGMA), subject, blind_maps).scores
    deltas = {name: values for name, values in (fidelity | box).items() if "delta" in name}
    assert len(deltas) == 6
    for values in deltas.values():
        assert (values == 0).all()


def test_a_constant_map_has_no_box_area(subject, maps):
    found = measured(BoxSensitivity(SIZES, NUM_BOXES, SIGMA), subject, torch.ones_like(maps))
    assert found.scores["A_box"].isnan().all()


def test_compactness_is_that_of_each_targets_map(subject, maps):
    found = measured(Compactness(0.2), subject, maps).scores
    for k, name in enumerate(("compactness", "other_compactness")):
        expected = [compactness(importance, 0.2) for importance in maps[:, k]]
        assert found[name].tolist() == pytest.approx(expected)


def test_declared_curves_have_the_axes_of_the_measured_ones(subject, maps):
    for metric in (Fidelity(STEPS, SIGMA, "both"), BoxSensitivity(SIZES, NUM_BOXES, SIGMA)):
        found = measured(metric, subject, maps).curves
        declared = {curve.name: curve for curve in metric.curves()}
        assert declared.keys() == found.keys()
        for name, curve in declared.items():
            lengths = [len(values) or 2 for values in curve.axes.values()]
            assert list(found[name].shape[1:]) == lengths
            assert {curve.x, curve.panels} <= {*curve.axes, ""}


def test_every_declared_column_is_measured(subject, maps):
    for metric in (Fidelity(STEPS, SIGMA, "both"), BoxSensitivity(SIZES, NUM_BOXES, SIGMA), Compactness()):
        assert {column.name for column in metric.columns()} <= measured(metric, subject, maps).scores.keys()


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"steps": 0}, "steps=0"),
        ({"steps": -1}, "steps=-1"),
        ({"steps": 1.5}, "steps=1.5"),
        ({"unit": "token"}, "unit=token"),
        ({"blur_sigma": -14}, "blur_sigma=-14"),
    ],
    ids=str,
)
def test_settings_of_fidelity_that_cannot_be_are_refused(arguments, key):
    with pytest.raises(UserError, match=f"^{key}"):
        Fidelity(**arguments)
