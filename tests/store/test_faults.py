"""Disk full, a folder that cannot be written, results of another version: one line each, and nothing corrupted."""

import os
import subprocess
from contextlib import contextmanager

import pytest

from cdam_bench.store.cells import Cell, CellKey
from cdam_bench.store.chunks import ChunkFolder
from cdam_bench.store.results import read_cells
from tests.runs import cdam_bench, files_below, tables_of
from tests.scripts import command

KEY = CellKey("digits_multi", "digits_vit", "cdam")


@contextmanager
def mounted(folder, options):
    """A tmpfs at `folder`, for the length of the `with`; skips the test where mounting is not permitted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def errors_told(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]


def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(tmp_path, capsys):
    with mounted(tmp_path / "disk", "size=64k") as disk:
        filler = disk / "filler"
        filler.write_bytes(b"0" * 24_000)  # one chunk fits, the next does not
        assert cdam_bench(disk / "results", "estimator=cdam") == 2
        (line,) = errors_told(capsys)
        assert line.startswith(f"error: No space left on device: {disk}")
        assert not [name for name in files_below(disk) if name.endswith(".tmp")]
        cell = Cell(disk / "results", KEY)
        chunks = list(cell.chunks.path.glob("*.npz"))
        assert all(
            ChunkFolder(path.parent, cell.chunks.identity).read(*map(int, path.stem.split("-"))) for path in chunks
        )
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
        assert cdam_bench(disk / "results", "estimator=cdam") == 0
        assert cdam_bench(tmp_path / "whole", "estimator=cdam") == 0
        assert tables_of(disk / "results", ["cdam"]) == tables_of(tmp_path / "whole", ["cdam"])


@pytest.mark.parametrize("kilobytes", [0, 12, 16, 20, 28, 36, 44])
def test_wherever_the_disk_gets_full_there_is_one_line_and_every_file_is_whole(kilobytes, tmp_path, capsys):
    with mounted(tmp_path / "disk", "size=64k") as disk:
        (disk / "filler").write_bytes(b"0" * (1024 * (60 - kilobytes)))
        assert cdam_bench(disk / "results", "estimator=cdam") == 2
        assert len(errors_told(capsys)) == 1
        assert not [name for name in files_below(disk) if name.endswith(".tmp")]
        for result in read_cells(disk / "results"):
            assert not result.is_complete


def test_a_read_only_folder_is_one_line_and_can_still_be_looked_at(tmp_path, capsys):
    with mounted(tmp_path / "disk", "size=10m") as disk:
        assert cdam_bench(disk / "results", "estimator=cdam", "shards=2") == 0
        before = files_below(disk)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        capsys.readouterr()
        for settings in (
            ["estimator=cdam"],
            ["estimator=gradcam"],
            ["estimator=cdam", "overwrite=true"],
            ["-m", "estimator=gradcam"],
        ):
            assert cdam_bench(disk / "results", *settings) == 2, settings
            (line,) = errors_told(capsys)
            assert line.startswith("error: Read-only file system"), settings
        assert command("status", f"results_dir={disk / 'results'}") == 0
        assert "partial" in capsys.readouterr().out
        assert files_below(disk) == before


def test_results_of_another_version_are_refused_in_one_line_that_names_it(tmp_path, capsys):
    assert cdam_bench(tmp_path, "estimator=cdam", "shards=2") == 0
    file = Cell(tmp_path, KEY).path / "cell.yaml"
    file.write_text(file.read_text().replace("\n  cdam_bench: ", "\n  cdam_bench: 99"))
    before = files_below(tmp_path)
    capsys.readouterr()
    assert cdam_bench(tmp_path, "estimator=cdam") == 2
    (line,) = errors_told(capsys)
    assert "cdam_bench: 99" in line
    assert "another results_dir" in line
    assert files_below(tmp_path) == before


def test_a_format_of_another_version_is_one_line_everywhere_and_does_not_hide_the_other_cells(tmp_path, capsys):
    assert cdam_bench(tmp_path, "-m", "estimator=cdam,attention_map") == 0
    file = Cell(tmp_path, KEY).path / "cell.yaml"
    file.write_text(file.read_text().replace("format: 2", "format: 99"))
    before = files_below(tmp_path)
    capsys.readouterr()
    assert cdam_bench(tmp_path, "estimator=cdam") == 2
    assert "format 99" in errors_told(capsys)[0]
    assert command("merge", f"results_dir={tmp_path}") == 2
    assert "format 99" in errors_told(capsys)[0]
    assert command("status", f"results_dir={tmp_path}") == 0
    told = capsys.readouterr().out
    assert "1 done, 1 failed" in told
    assert "another format" in told
    assert files_below(tmp_path) == before
