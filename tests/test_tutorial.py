"""The tutorial runs as it stands, and its own assertions hold."""

import runpy
from pathlib import Path


def test_the_tutorial_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(Path(__file__).parents[1] / "docs" / "tutorial.py"), run_name="__main__")
    assert "attention differs by 0.0" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
