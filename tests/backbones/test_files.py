"""Weights files are found where they are, downloaded where they are not, and never kept when damaged."""

import hashlib
import re

import pytest
import torch

from cdam_bench.backbones.files import find_weights, training_command
from cdam_bench.cli.commands import BY_NAME
from cdam_bench.configs import compose
from cdam_bench.errors import UserError


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A torch.hub cache of our own, and a folder whose file:// addresses stand for the official servers."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    server = tmp_path / "server"
    server.mkdir()
    (server / "vit.pth").write_bytes(b"weights")
    return server


def test_address_is_downloaded_into_weights_dir_and_checked(hub, tmp_path):
    md5 = hashlib.md5(b"weights", usedforsecurity=False).hexdigest()[:6]
    path = find_weights(f"{(hub / 'vit.pth').as_uri()}#md5={md5}", tmp_path / "weights")
    assert path == tmp_path / "weights" / "vit.pth"
    assert path.read_bytes() == b"weights"


def test_file_in_weights_dir_is_preferred_to_the_address(hub, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "vit.pth").write_bytes(b"mine")
    assert find_weights((hub / "vit.pth").as_uri(), tmp_path / "weights").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["vit.pth#sha256=0123456789", "vit-01234567.pth"], ids=["declared", "in the name"])
def test_damaged_download_is_refused_and_not_kept(hub, tmp_path, name):
    (hub / "vit-01234567.pth").write_bytes(b"weights")
    address = f"{hub.as_uri()}/{name}"
    with pytest.raises(UserError, match=r"has sha256 .* instead of 01234567"):
        find_weights(address, tmp_path / "weights")
    assert not list((tmp_path / "weights").iterdir())


def test_failed_download_says_where_to_put_the_file(hub, tmp_path):
    with pytest.raises(
        UserError, match=r"gone\.pth is not in .*weights and could not be downloaded from file:.*put it there"
    ):
        find_weights((hub / "gone.pth").as_uri(), tmp_path / "weights")


def test_missing_head_that_a_command_makes_names_the_command(tmp_path):
    with pytest.raises(UserError, match=r"train it with `cdam-bench train probe`"):
        find_weights("dino_vitb8_linear.safetensors", tmp_path)


@pytest.mark.parametrize("name", ["cifar10_vits14", "cifar10_vits14_frozen"])
def test_the_command_that_makes_a_missing_network_is_said_and_makes_that_file(name, tmp_path):
    told = training_command(name)
    with pytest.raises(UserError, match=re.escape(f"make it by `{told}`")):
        find_weights(f"{name}.safetensors", tmp_path)
    words = told.split()
    assert words[0] == "cdam-bench"
    command = BY_NAME[" ".join(words[1:3])]
    assert compose(words[3:], command.config).output.endswith(f"{name}.safetensors")
