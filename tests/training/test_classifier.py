"""A killed training run resumes to the same weights."""

import torch
from torch import nn

from cdam_bench.training.classifier import train_classifier


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
