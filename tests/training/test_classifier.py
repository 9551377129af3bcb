"""A killed training run resumes to the same weights; threads that share a step change nothing but rounding."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from cdam_bench.errors import UserError
from cdam_bench.training.classifier import Recipe, train_classifier
from cdam_bench.training.shared_steps import SharedSteps


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.GELU(), nn.Linear(8, 3))


def batch_at(step):
    generator = torch.Generator().manual_seed(step)
    return torch.randn(16, 3, 2, 2, generator=generator), torch.eye(3)[torch.randint(3, (16,), generator=generator)]


def train(folder, recipe=30, batches=batch_at, model=None, settings=None, **more):
    recipe = recipe if isinstance(recipe, Recipe) else Recipe(recipe)
    model = make_model() if model is None else model
    return train_classifier(model, batches, recipe, folder, settings or {"batches": "random"}, **more)


class KilledError(Exception):
    pass


def killed_at(step):
    def batches(current):
        if current == step:
            raise KilledError
        return batch_at(current)

    return batches


def test_a_run_killed_between_saves_ends_with_the_weights_and_log_of_an_undisturbed_one(tmp_path):
    whole = train(tmp_path / "whole", save_every=10, log_every=5)
    with pytest.raises(KilledError):
        train(tmp_path / "cut", batches=killed_at(17), save_every=10, log_every=5)
    resumed = train(tmp_path / "cut", save_every=10, log_every=5)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    steps = [row.split(",")[0] for row in (tmp_path / "cut" / "log.csv").read_text().splitlines()]
    assert steps == ["step", "5", "10", "15", "20", "25", "30"]


def test_a_state_of_other_settings_is_refused_and_begun_anew_where_that_is_asked_for(tmp_path):
    train(tmp_path / "cut", recipe=Recipe(30, learning_rate=1e-3))
    state = (tmp_path / "cut" / "state.pt").read_bytes()
    other = Recipe(30, learning_rate=1e-2)
    with pytest.raises(UserError, match=r"other settings \(learning_rate: 0.001 → 0.01\): overwrite=true begins anew"):
        train(tmp_path / "cut", recipe=other)
    assert (tmp_path / "cut" / "state.pt").read_bytes() == state
    expected = train(tmp_path / "new", recipe=other)
    anew = train(tmp_path / "cut", recipe=other, overwrite=True)
    for name, value in expected.state_dict().items():
        assert torch.equal(value, anew.state_dict()[name]), name


def test_other_batches_and_other_start_weights_are_another_training(tmp_path):
    train(tmp_path)
    with pytest.raises(UserError, match="batches: random → sorted"):
        train(tmp_path, settings={"batches": "sorted"})
    moved = make_model()
    with torch.no_grad():
        moved[1].bias[0] += 1e-3
    with pytest.raises(UserError, match="start_weights: "):
        train(tmp_path, model=moved)


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

    recipe, often = Recipe(12, workers=2), {"save_every": 4, "log_every": 4}
    whole = train(tmp_path / "whole", recipe, model=model(), **often)
    with pytest.raises(KilledError):
        train(tmp_path / "cut", recipe, killed_at(7), model(), **often)
    resumed = train(tmp_path / "cut", recipe, model=model(), **often)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert whole[1].num_batches_tracked > 0


@pytest.mark.parametrize("setting", ["steps", "workers"])
def test_counts_must_be_positive(setting):
    with pytest.raises(UserError, match=f"^{setting}=0: must be a positive whole number"):
        Recipe(**{"steps": 1, setting: 0})


def test_the_rate_warms_up_linearly_and_falls_as_a_half_cosine():
    recipe = Recipe(100, learning_rate=2.0, warmup_steps=4)
    rates = [recipe.rate(step) for step in (0, 1, 3, 4, 52, 100)]
    assert rates == pytest.approx([0.5, 1.0, 2.0, 2.0, 1.0, 0.0])
