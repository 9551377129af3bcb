"""The linear probe learns, resumes to the same head, shares its work, and complains before it starts."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from cdam_bench.backbones.checkpoints import load_head
from cdam_bench.configs import compose
from cdam_bench.training import linear_probe
from cdam_bench.training.labelled_pictures import EpochSampler, split
from cdam_bench.training.linear_probe import LinearProbe, train_linear_probe
from cdam_bench.training.processes import Processes
from tests.datasets.cifar10_files import REAL, needs_real
from tests.scripts import command

COLOURS = {"blue": (30, 60, 200), "green": (40, 180, 60), "red": (210, 40, 30)}
SMALL = (
    "backbone=digits_vit",
    "backbone.checkpoint=null",
    "backbone.image_size=32",
    "backbone.model_args={patch_size:8,embed_dim:48,depth:2,num_heads:3}",
    "runtime.device=cpu",
    "workers=0",
    "learning_rate=0.03",
    "epochs=3",
    "batch_size=8",
)


@pytest.fixture
def pictures(tmp_path):
    """Ten pictures of each of three colours, of different brightness."""
    for name, colour in COLOURS.items():
        folder = tmp_path / "train" / name
        folder.mkdir(parents=True)
        for number in range(10):
            shade = tuple(round(value * (0.6 + 0.04 * number)) for value in colour)
            Image.new("RGB", (40, 36), shade).save(folder / f"{number}.png")
    return tmp_path / "train"


def train(folder, *overrides, val="null"):
    """Exit status of the script; its files go below folder's parent."""
    out = folder.parent / "out"
    settings = (f"train_dir={folder}", f"val_dir={val}", f"work_dir={out}/work", f"output={out}/head.safetensors")
    return command("train", "probe", *SMALL, *settings, *overrides)


def test_probe_learns_and_leaves_head_and_card(pictures):
    assert train(pictures) == 0
    out = pictures.parent / "out"
    card = json.loads((out / "head.json").read_text())
    assert card["validation accuracy"] == 1.0
    assert card["classes"] == sorted(COLOURS)
    assert (card["training images"], card["validation images"]) == (27, 3)
    assert card["config"]["learning_rate"] == 0.03
    assert load_head(out / "head.safetensors", 48, 3).weight.shape == (3, 48)


def test_killed_run_goes_on_to_the_same_head(pictures, monkeypatch):
    assert train(pictures) == 0
    head = pictures.parent / "out" / "head.safetensors"
    expected = load_file(head)
    (pictures.parent / "out" / "work" / "state.pt").unlink()
    update, calls = LinearProbe.update, []

    def killed(self, images, labels):
        calls.append(1)
        if len(calls) == 7:  # in the second of the three epochs, of four steps each
            raise KeyboardInterrupt
        return update(self, images, labels)

    monkeypatch.setattr(LinearProbe, "update", killed)
    with pytest.raises(KeyboardInterrupt):
        train_probe_once(pictures)
    monkeypatch.setattr(LinearProbe, "update", update)
    head.unlink()
    assert train(pictures, "save_every=1") == 0
    for name, value in load_file(head).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)


def train_probe_once(folder):
    """The run in this process, without the command line's handling of interrupts."""
    out = folder.parent / "out"
    settings = [f"train_dir={folder}", "val_dir=null", f"work_dir={out}/work", f"output={out}/head.safetensors"]
    train_linear_probe(compose([*SMALL, *settings, "save_every=1"], "scripts/train_linear_probe"))


def test_a_state_of_other_settings_is_refused_and_left_as_it_was(pictures, capsys):
    assert train(pictures) == 0
    out = pictures.parent / "out"
    head, state = (out / "head.safetensors").read_bytes(), (out / "work" / "state.pt").read_bytes()
    assert train(pictures, "learning_rate=0.01") == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert "is of a training with other settings (learning_rate: 0.03 → 0.01): overwrite=true begins anew" in told
    assert (out / "head.safetensors").read_bytes() == head
    assert (out / "work" / "state.pt").read_bytes() == state
    assert train(pictures, "learning_rate=0.01", "overwrite=true") == 0
    card = json.loads((out / "head.json").read_text())
    assert card["config"]["learning_rate"] == 0.01
    assert (out / "head.safetensors").read_bytes() != head


def test_other_pictures_and_other_start_weights_are_another_training(pictures, capsys):
    assert train(pictures) == 0
    (pictures / "blue" / "0.png").rename(pictures / "blue" / "new.png")
    assert train(pictures) == 2
    assert "training_pictures: " in capsys.readouterr().err
    (pictures / "blue" / "new.png").rename(pictures / "blue" / "0.png")
    assert train(pictures, "backbone.model_args.depth=1") == 2
    assert "backbone.model_args.depth: 2 → 1, start_weights: " in capsys.readouterr().err


def test_a_finished_run_is_not_trained_again_wherever_its_pictures_have_moved(pictures, monkeypatch):
    assert train(pictures) == 0
    moved = pictures.rename(pictures.parent / "elsewhere")
    monkeypatch.setattr(LinearProbe, "update", None)  # it must not be called
    assert train(moved) == 0


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes_share_every_batch_of_an_epoch(processes):
    device = torch.device("cpu")
    shares = [list(EpochSampler(22, 8, Processes(rank, processes, device), seed=3)) for rank in range(processes)]
    alone = list(EpochSampler(22, 8, Processes(0, 1, device), seed=3))
    own = 8 // processes
    for step in range(2):
        together = {image for share in shares for image in share[step * own : (step + 1) * own]}
        assert together == set(alone[step * 8 : (step + 1) * 8])
    assert {image for share in shares for image in share} == set(range(22))
    assert len({len(share) for share in shares}) == 1


def test_sampler_starts_at_a_step():
    sampler = EpochSampler(22, 8, Processes(0, 1, torch.device("cpu")), seed=3)
    every = list(sampler)
    sampler.first_step = 2
    assert list(sampler) == every[16:]
    assert len(sampler) == 6


def test_split_sets_a_share_of_every_class_aside():
    pictures = [(Path(f"{label}/{number}.png"), label) for label in range(3) for number in range(10)]
    training, validation = split(pictures, 0.2, seed=0)
    assert sorted(training + validation) == pictures
    assert [sum(label == c for _, label in validation) for c in range(3)] == [2, 2, 2]


@pytest.mark.slow
def test_two_processes_give_the_head_of_one(pictures):
    """30 images, so that no process has to see one twice."""
    assert train(pictures, val=pictures) == 0
    out = pictures.parent / "out"
    expected = load_file(out / "head.safetensors")
    root = Path(linear_probe.__file__).parents[2]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [str(root / "scripts" / "train_linear_probe.py"), *SMALL, f"train_dir={pictures}", f"val_dir={pictures}"]
    command += [f"work_dir={out}/two", f"output={out}/two.safetensors"]
    subprocess.run(command, check=True, cwd=root, timeout=300)
    for name, value in load_file(out / "two.safetensors").items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@needs_real
def test_probe_learns_real_photographs(tmp_path):
    """1000 CIFAR-10 photographs and random features: far from good, and well above the chance of 10 %."""
    with zipfile.ZipFile(REAL / "test.zip") as archive:
        chosen = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg", ".png")))
        classes = sorted({Path(name).parent.name for name in chosen})
        for name in classes:
            for member in [path for path in chosen if Path(path).parent.name == name][:100]:
                target = tmp_path / "train" / name / Path(member).name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(member))
    assert len(classes) == 10
    assert train(tmp_path / "train", "epochs=8", "batch_size=64", "learning_rate=3e-3", "val_share=0.2") == 0
    card = json.loads((tmp_path / "out" / "head.json").read_text())
    print(f"accuracy {card['validation accuracy']}")
    assert card["validation images"] == 200
    assert card["validation accuracy"] > 0.2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train_dir=gone", "gone not found: give a folder with one sub-folder of images per class"),
        ("epochs=0", "epochs=0: must be a positive whole number"),
        ("val_share=1", "val_share=1: must be in (0, 1)"),
        ("runtime.precision=fp8", "use fp32 or bf16"),
        ("backbone.checkpoint=gone.pth", "weights file gone.pth not found"),
    ],
)
def test_user_errors_are_one_line(pictures, capsys, override, message):
    assert train(pictures, override) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert message in told[-1]
    assert not (pictures.parent / "out" / "head.safetensors").exists()


def test_validation_class_that_training_lacks_is_named(pictures, tmp_path, capsys):
    for name in ("blue", "violet"):
        (tmp_path / "val" / name).mkdir(parents=True)
    assert train(pictures, val=tmp_path / "val") == 2
    assert "has classes that the training images lack: violet" in capsys.readouterr().err
