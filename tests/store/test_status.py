"""Status: what files, heartbeats and errors say about the cells, quickly."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cdam_bench.store import cells, heartbeats
from cdam_bench.store.cells import Cell, CellKey
from cdam_bench.store.heartbeats import Heartbeat, clock_of, running_jobs
from cdam_bench.store.measured import put_together
from cdam_bench.store.results import read_cells
from cdam_bench.store.status import read_status
from tests.runs import cdam_bench
from tests.scripts import command

DETAILS = {"num_images": 2, "chunk_size": 2, "metrics": {}}


def test_a_heartbeat_is_rewritten_by_itself_says_what_is_done_and_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeats, "BEAT_SECONDS", 0.02)
    with Heartbeat(tmp_path, 1, 8, 30) as heartbeat:
        heartbeat.beat(12)
        before = heartbeat.file.stat().st_mtime_ns
        time.sleep(0.2)
        assert heartbeat.file.stat().st_mtime_ns > before
        (job,) = running_jobs(tmp_path / "running", clock_of(tmp_path))
        assert (job["shard"], job["shards"], job["done"], job["images"]) == (1, 8, 12, 30)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("age", "running"), [(0, True), (100, True), (-100, True), (200, False), (-7200, False)])
def test_a_job_is_running_while_its_heartbeat_is_fresh(tmp_path, age, running):
    cell = Cell(tmp_path, CellKey("digits", "digits_vit", "cdam")).open(
        {"metric": {}}, {"num_images": 5, "chunk_size": 2, "metrics": {}}
    )
    beat = Heartbeat(cell.path, 0, 1, 5)
    beat.beat(2)
    stamp = time.time() - age
    os.utime(beat.file, (stamp, stamp))
    (found,) = read_status(tmp_path)
    assert (found.state == "running") == running
    assert len(found.jobs) == running


def test_status_as_json_has_a_record_for_every_cell(tmp_path, capsys):
    assert cdam_bench(tmp_path, "estimator=cdam") == 0
    capsys.readouterr()
    assert command("status", f"results_dir={tmp_path}", "json=true") == 0
    (cell,) = json.loads(capsys.readouterr().out)
    assert (cell["estimator"], cell["state"], cell["done"], cell["images"], cell["jobs"]) == ("cdam", "done", 6, 6, [])


def test_status_of_nothing_is_one_line(tmp_path, capsys):
    assert command("status", f"results_dir={tmp_path / 'gone'}") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "gone is not there" in line


def test_status_needs_no_torch(tmp_path):
    """It imports no more than the store: seconds on a login node."""
    script = (
        "import sys; from cdam_bench.cli import main; main(['status', 'results_dir=.']);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'timm', 'sklearn', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False).returncode == 0


def test_status_parses_no_yaml_and_tables_read_every_description_once(tmp_path, monkeypatch):
    """Times of 1,000 cells stand in docs/cluster.md; here what they follow from is counted."""
    for number in range(60):
        key = CellKey("digits", f"vit_{number // 10}", f"method_{number % 10}")
        metric = {"fidelity": {}}
        cell = Cell(tmp_path, key).open({"estimator": number % 10, "metric": metric}, DETAILS)
        info = {"info/image": np.array(["a", "b"]), "info/seconds": np.array([1.0])}
        cell.chunks.write(0, 2, put_together(info, {"fidelity": {"score/A_MIF": np.array([1.0, number])}}, metric))
        cell.finish()
    opened, parsed = [], []
    read_text, load = Path.read_text, cells.yaml.load
    monkeypatch.setattr(Path, "read_text", lambda path, *a, **k: opened.append(path) or read_text(path, *a, **k))
    monkeypatch.setattr(cells.yaml, "load", lambda *a, **k: parsed.append(a) or load(*a, **k))
    assert {cell.state for cell in read_status(tmp_path)} == {"done"}
    assert (len(opened), len(parsed)) == (60, 0)
    assert len(read_cells(tmp_path)) == 60
    assert (len(opened), len(parsed)) == (120, 60)
