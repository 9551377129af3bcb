"""Models by name: what visitors type is read as a path only where the owner allows it."""

import pytest
import torch

from cdam_bench.app import models as module
from cdam_bench.backbones.files import PACKAGED
from cdam_bench.errors import UserError
from tests.app.conftest import make_desk

WEIGHTS = str(PACKAGED / "digits_vit.safetensors")


@pytest.fixture
def nothing_is_read(monkeypatch):
    def read(*_args, **_options):
        raise AssertionError("a path was read")

    for name in ("given_model", "TextClasses"):
        monkeypatch.setattr(module, name, read)
    monkeypatch.setattr(module.configs, "build_backbone", read)


def test_the_packaged_networks_are_offered_the_chosen_one_first(desk):
    offered = desk.models.offered()
    assert offered[0] == "digits_vit"
    assert {"cifar10_vit", "digits_vit_shallow"} <= set(offered)
    assert not {"timm", "hf", "dino_vits8"} & set(offered)  # need a name, or weights that are not here


@pytest.mark.usefixtures("nothing_is_read")
@pytest.mark.parametrize(
    "typed",
    ["/etc", "../secrets", "~/models", "./x", ".ssh/config", "C:\\models", "local-dir:/etc", "file:///etc/passwd",
     "http://127.0.0.1/x", "${oc.env:HOME}", "hf", "timm", "a/b/c"],
)  # fmt: skip
def test_a_path_or_address_that_is_typed_is_refused_in_one_line(typed, desk):
    with pytest.raises(UserError, match=r"is no|are not fetched") as refusal:
        desk.models.get(typed)
    assert "\n" not in str(refusal.value)


@pytest.mark.usefixtures("nothing_is_read")
@pytest.mark.parametrize("name", ["owner/model", "vit_tiny_patch16_224"])
def test_a_name_that_is_also_something_on_this_machine_is_not_read(name, desk, tmp_path, monkeypatch):
    (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--allow-paths"):
        desk.models.get(name)


def test_a_file_of_weights_is_read_only_where_paths_are_allowed(desk, tmp_path):
    with pytest.raises(UserError, match="--allow-paths"):
        desk.models.get("digits_vit", WEIGHTS)
    allowed = make_desk(tmp_path, "allow_paths=true").models
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = allowed.get("digits_vit").backbone.logits(images)
    torch.testing.assert_close(allowed.get("digits_vit", WEIGHTS).backbone.logits(images), expected)
    with pytest.raises(UserError, match="not found"):
        allowed.get("digits_vit", str(tmp_path / "none.safetensors"))


def test_a_pickle_that_holds_more_than_tensors_is_not_loaded(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "was_run"), "w"))

    torch.save({"evil": Evil()}, tmp_path / "weights.pth")
    allowed = make_desk(tmp_path, "allow_paths=true").models
    with pytest.raises(UserError):
        allowed.get("digits_vit", str(tmp_path / "weights.pth"))
    assert not (tmp_path / "was_run").exists()


def test_the_classes_of_the_packaged_photograph_network_have_names(desk):
    assert desk.models.get("cifar10_vit").backbone.class_names[3] == "cat"


def test_only_a_few_models_are_kept(tmp_path):
    few = make_desk(tmp_path, "max_models=1").models
    first = few.get("digits_vit")
    assert few.get("digits_vit") is first
    few.get("cifar10_vit")
    assert few.get("digits_vit") is not first


def test_text_is_refused_for_a_backbone_that_reads_none(desk):
    with pytest.raises(UserError, match="reads no text"):
        desk.models.get("digits_vit", classes=("cat", "dog"))


def test_the_owners_class_names_are_those_of_her_backbone(tmp_path):
    names = [f"number {digit}" for digit in range(10)]
    owned = make_desk(tmp_path, class_names=names).models
    assert owned.get("digits_vit").backbone.class_names == names
    assert make_desk(tmp_path).models.get("digits_vit").backbone.class_names != names
    with pytest.raises(UserError, match="2 class_names for a head with 10"):
        make_desk(tmp_path, class_names=["a", "b"]).models.get("digits_vit")
