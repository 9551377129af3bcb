"""AdamW with layer decay: how long each layer's first step is."""

import pytest
import torch
from torch import nn

from cdam_bench.backbones.loading import create_vit
from cdam_bench.training.classifier import ClassifierTraining, Recipe
from cdam_bench.training.layer_decay import adamw_with_layer_decay
from cdam_bench.training.states import StateFile

TINY = {"patch_size": 8, "embed_dim": 16, "depth": 3, "num_heads": 2, "init_values": 0.1}


@pytest.fixture
def trained(tmp_path):
    """A ViT inside another module, and how far each of its parameters moves in one step of the rate 0.01."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"vit": create_vit("vit_tiny_patch16_224", 5, 32, TINY)})
    recipe = Recipe(steps=1, learning_rate=0.5, weight_decay=0.3)
    state_file = StateFile(tmp_path / "state.pt", {})
    training = ClassifierTraining(model, recipe, state_file, adamw_with_layer_decay(0.5))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = 1 + torch.rand(parameter.shape)  # all of one sign
    training.update(0.01)
    return before, dict(model.named_parameters()), training


def test_adams_first_step_is_the_learning_rate_halved_once_per_layer_before_the_head(trained):
    before, after, _ = trained
    for name, share in (
        ("head.bias", 1),
        ("norm.weight", 1),
        ("blocks.2.mlp.fc1.bias", 1 / 2),
        ("blocks.1.attn.qkv.bias", 1 / 4),
        ("blocks.0.ls1.gamma", 1 / 8),
        ("pos_embed", 1 / 16),
        ("cls_token", 1 / 16),
        ("patch_embed.proj.bias", 1 / 16),
    ):
        moved = before[f"vit.{name}"] - after[f"vit.{name}"]
        torch.testing.assert_close(moved, torch.full_like(moved, 0.01 * share), rtol=1e-3, atol=1e-6)


def test_matrices_alone_are_decayed_towards_0_by_their_own_rate(trained):
    before, after, _ = trained
    for name, rate in (
        ("head.weight", 0.01),
        ("blocks.0.mlp.fc2.weight", 0.01 / 8),
        ("patch_embed.proj.weight", 0.01 / 16),
    ):
        expected = before[f"vit.{name}"] * (1 - 0.3 * rate) - rate
        torch.testing.assert_close(after[f"vit.{name}"].detach(), expected, rtol=1e-3, atol=1e-6)


def test_every_parameter_is_trained_once(trained):
    before, after, training = trained
    (optimiser,) = training.optimisers
    assert sum(len(group["params"]) for group in optimiser.param_groups) == len(before)
    assert all(not torch.equal(before[name], p.detach()) for name, p in after.items())
