"""A killed training run resumes to the same weights; threads that share a step change nothing but rounding."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from cdam_bench.errors import UserError
from cdam_bench.training.classifier import SharedSteps, train_classifier


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.GELU(), nn.Linear(8, 3))


def batch_at(step):
    generator = torch.Generator().manual_seed(step)
    return torch.randn(16, 3, 2, 2, generator=generator), torch.eye(3)[torch.randint(3, (16,), generator=generator)]


class KilledError(Exception):
    pass


def killed_at(step):
    def batches(current):
        if current == step:
            raise KilledError
        return batch_at(current)

    return batches


def test_a_run_killed_between_saves_ends_with_the_weights_and_log_of_an_undisturbed_one(tmp_path):
    whole = train_classifier(make_model(), batch_at, 30, tmp_path / "whole", save_every=10, log_every=5)
    try:
        train_classifier(make_model(), killed_at(17), 30, tmp_path / "cut", save_every=10, log_every=5)
    except KilledError:
        resumed = train_classifier(make_model(), batch_at, 30, tmp_path / "cut", save_every=10, log_every=5)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    steps = [row.split(",")[0] for row in (tmp_path / "cut" / "log.csv").read_text().splitlines()]
    assert steps == ["step", "5", "10", "15", "20", "25", "30"]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_gradients_of_a_shared_step_are_autograds(workers):
    model = make_model()
    with SharedSteps(model, batch_at, 3, "fp32", workers) as loss_at:
        for step in range(3):
            loss = loss_at(step)
            images, targets = batch_at(step)
            expected = F.cross_entropy(model(images), targets)
            assert_close(loss, expected.detach())
            for parameter, gradient in zip(
                model.parameters(), torch.autograd.grad(expected, list(model.parameters())), strict=True
            ):
                assert_close(parameter.grad, gradient)


def test_a_shared_run_resumes_to_the_same_weights_batch_norm_included(tmp_path):
    def model():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), *make_model()[:1], nn.Linear(16, 3))

    settings = {"workers": 2, "save_every": 4, "log_every": 4}
    whole = train_classifier(model(), batch_at, 12, tmp_path / "whole", **settings)
    with pytest.raises(KilledError):
        train_classifier(model(), killed_at(7), 12, tmp_path / "cut", **settings)
    resumed = train_classifier(model(), batch_at, 12, tmp_path / "cut", **settings)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert whole[1].num_batches_tracked > 0


@pytest.mark.parametrize("setting", ["steps", "workers"])
def test_counts_must_be_positive(tmp_path, setting):
    with pytest.raises(UserError, match=f"{setting}=0: must be positive"):
        train_classifier(make_model(), batch_at, **{"steps": 1, "work_dir": tmp_path, setting: 0})
