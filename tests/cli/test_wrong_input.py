"""Whatever is wrong with settings, files and pictures: one line, exit status 2, no traceback, and the results as they were."""

import os
import shutil
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from PIL import Image
from safetensors.torch import load_file, save_file

from cdam_bench.backbones.files import PACKAGED
from tests.cli.wrong_input import CASES, SMALL
from tests.runs import files_below
from tests.scripts import command

EXAMPLES = int(os.environ.get("CDAM_BENCH_EXAMPLES", "120"))  # another number also draws others each time
ALWAYS_THE_SAME = "CDAM_BENCH_EXAMPLES" not in os.environ


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Weights and pictures with something wrong, by name."""
    folder = tmp_path_factory.mktemp("files")
    content = (PACKAGED / "digits_vit.safetensors").read_bytes()
    (folder / "truncated.safetensors").write_bytes(content[: len(content) // 2])
    (folder / "header.safetensors").write_bytes(struct.pack("<Q", 2**62) + content[8:200])
    (folder / "text.pth").write_text("not weights")
    (folder / "empty.safetensors").write_bytes(b"")
    (folder / "empty.pth").write_bytes(b"")
    (folder / "pickle.pth").write_bytes(b"\x80\x04cposix\nsystem\n.")
    (folder / "folder.pth").mkdir()
    (folder / "folder.png").mkdir()
    (folder / "none").mkdir()
    weights = load_file(PACKAGED / "digits_vit.safetensors")
    save_file(
        {name: torch.full_like(tensor, torch.nan) for name, tensor in weights.items()}, folder / "nan.safetensors"
    )
    save_file({name: tensor[..., :1].clone() for name, tensor in weights.items()}, folder / "other.safetensors")
    save_file({"weight": torch.zeros(7, 128), "bias": torch.zeros(7)}, folder / "ten.safetensors")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    for name in ("good.png", "ünï☃.png"):
        picture.save(folder / name)
    picture.resize((1, 1)).save(folder / "one.png")
    png = (folder / "good.png").read_bytes()
    (folder / "truncated.png").write_bytes(png[: len(png) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no picture")
    (folder / "noise.jpg").write_bytes(b"\xff\xd8" + bytes(range(256)))
    header = b"IHDR" + struct.pack(">II", 60_000, 60_000) + png[24:29]
    (folder / "bomb.png").write_bytes(png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:])
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A results folder with two finished cells."""
    results = tmp_path_factory.mktemp("finished") / "results"
    assert command("run", f"results_dir={results}", *SMALL) == 0
    assert command("run", f"results_dir={results}", *SMALL[2:], "estimator=cdam") == 0
    return results


@settings(
    max_examples=EXAMPLES,
    derandomize=ALWAYS_THE_SAME,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(slip=CASES)
def test_what_is_wrong_is_told_in_one_line_and_leaves_the_results_alone(
    slip, files, finished, tmp_path, capsys, monkeypatch
):
    results, here = tmp_path / "results", tmp_path / "here"
    for folder in (results, here):
        shutil.rmtree(folder, ignore_errors=True)
    here.mkdir()
    shutil.copytree(finished, results)
    if slip.before is not None:
        slip.before(results)
    before = files_below(results)
    monkeypatch.chdir(here)
    capsys.readouterr()
    status = command(*(word.replace("{files}", str(files)).replace("{results}", str(results)) for word in slip.words))
    told = [line for line in capsys.readouterr().err.splitlines() if line.strip() and not line.startswith("warning: ")]
    if slip.fine:
        assert status == 0, (slip.words, told)
        assert not [line for line in told if line.startswith("error: ")]
        return
    assert status == 2, (slip.words, told)
    assert len(told) == 1, (slip.words, told)
    assert told[0].startswith("error: ")
    assert len(told[0]) > len("error: ") + 5
    assert files_below(results) == before, slip.words
    assert not list(here.iterdir())
