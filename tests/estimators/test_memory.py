"""Methods that hide parts of an image go on in smaller batches when memory runs out."""

import copy

import pytest
import torch

from cdam_bench import estimators
from tests.agreement import assert_agree

MASKING = [
    estimators.Occlusion(num_passes=40),
    estimators.RISE(num_passes=20, cells=4),
    estimators.KernelSHAP(num_passes=30),
    estimators.PatchAblation(),
    estimators.TokenAblation(),
]
masking = pytest.mark.parametrize("estimator", MASKING, ids=lambda estimator: type(estimator).__name__)


def limit_memory(backbone, most):
    """A copy whose head runs out of memory above `most` images, and the list of the batch sizes that went through."""
    passed, other = [], copy.deepcopy(backbone)

    def limited(_module, inputs):
        if len(inputs[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        passed.append(len(inputs[0]))

    other.head.register_forward_pre_hook(limited)
    return other, passed


@masking
def test_batches_are_halved_for_good_and_nothing_counts_twice(estimator, backbone, images, targets):
    expected = estimator.attribute(backbone, images, targets)
    other, passed = limit_memory(backbone, most=5)
    smaller = copy.deepcopy(estimator)
    assert_agree(smaller.attribute(other, images, targets), expected, 1e-5)
    assert max(passed) == smaller.micro_batch.value == 4
