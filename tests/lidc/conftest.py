"""A folder to fine-tune in, and what comes of it, for each file of tests."""

import pytest
import torch
from safetensors.torch import save_file

from cdam_bench.backbones import create_vit
from cdam_bench.lidc.phantom import phantom_nodules
from tests.lidc.finetuning_runs import MODEL, finetune


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with phantoms and the weights to start from."""
    path = tmp_path_factory.mktemp("finetune")
    phantom_nodules(60).save(path / "nodules.npz")
    torch.manual_seed(1)
    save_file(create_vit("vit_tiny_patch16_224", 10, 32, MODEL).state_dict(), path / "base.safetensors")
    return path


@pytest.fixture(scope="module")
def tuned(folder):
    out = folder / "out"
    assert finetune(folder, out, "trainable_layers=8", "fold=1") == 0
    return out / "tuned.safetensors"
