"""Merge finishes what many jobs filled, and takes in what other machines computed."""

import os
import time
from pathlib import Path

from tests.runs import cdam_bench, files_below, tables_of
from tests.scripts import command

FOLDER = Path("cells") / "digits_multi" / "digits_vit"


def test_merge_finishes_cells_that_no_job_finished_and_takes_chunks_of_other_machines(tmp_path, capsys):
    whole, first, second, both = (tmp_path / name for name in ("whole", "first", "second", "both"))
    assert cdam_bench(whole, "estimator=cdam") == 0
    assert cdam_bench(first, "estimator=cdam", "shards=2", "shard=0") == 0
    assert cdam_bench(second, "estimator=cdam", "shards=2", "shard=1") == 0
    capsys.readouterr()
    assert command("merge", f"results_dir={both}", f"sources=[{first}]") == 0
    assert "2 of 6 images are missing or damaged" in capsys.readouterr().out
    assert command("merge", f"results_dir={both}", f"sources=[{second}]") == 0
    assert "finished, 6 images" in capsys.readouterr().out
    assert tables_of(both, ["cdam"]) == tables_of(whole, ["cdam"])


def test_merge_refuses_another_configuration_in_one_line(tmp_path, capsys):
    assert cdam_bench(tmp_path / "a", "estimator=cdam", "shards=2") == 0
    assert cdam_bench(tmp_path / "b", "estimator=cdam", "shards=2", "seed=1") == 0
    before = files_below(tmp_path / "b")
    capsys.readouterr()
    assert command("merge", f"results_dir={tmp_path / 'b'}", f"sources=[{tmp_path / 'a'}]") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be merged" in line
    assert "seed: 1 → 0" in line
    assert files_below(tmp_path / "b") == before


def test_merge_sweeps_what_killed_jobs_left_under_temporary_names(tmp_path):
    assert cdam_bench(tmp_path, "estimator=cdam") == 0
    old, new = (tmp_path / FOLDER / "cdam" / "chunks" / f".000000-000002.npz.{name}.tmp" for name in ("a", "b"))
    old.write_text("half a chunk")
    new.write_text("being written")
    hours_ago = time.time() - 7200
    os.utime(old, (hours_ago, hours_ago))
    assert command("merge", f"results_dir={tmp_path}") == 0
    assert not old.exists()
    assert new.exists()
