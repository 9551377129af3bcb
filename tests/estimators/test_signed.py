"""What an estimator says about the sign of its maps is true of its maps."""

import pytest
import torch

from cdam_bench.estimators import (
    AGCAM,
    CDAM,
    AttentionMap,
    AttentionRollout,
    Estimator,
    GradCAM,
    GradECLIP,
    LeGrad,
    PartialLRP,
    RelevancePropagation,
    TransformerAttribution,
)

UNSIGNED = (
    AGCAM,
    AttentionMap,
    AttentionRollout,
    GradCAM,
    GradECLIP,
    LeGrad,
    PartialLRP,
    RelevancePropagation,
    TransformerAttribution,
)


@pytest.mark.parametrize("kind", UNSIGNED)
def test_maps_that_are_called_unsigned_have_no_negative_values(backbone, images, kind):
    assert kind.signed is False
    targets = torch.arange(backbone.num_classes).expand(len(images), -1)
    assert kind().attribute(backbone, images, targets).min() >= 0


def test_maps_are_signed_unless_their_class_says_otherwise(backbone, images):
    assert Estimator.signed is True
    targets = torch.arange(backbone.num_classes).expand(len(images), -1)
    assert CDAM.signed is True
    assert CDAM().attribute(backbone, images, targets).min() < 0
