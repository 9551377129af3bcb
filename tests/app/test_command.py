"""`cdam-bench app` as it is started."""

import importlib.util
import os
import signal
import subprocess
import sys

import pytest

from tests.scripts import command

real = importlib.util.find_spec


def test_without_gradio_one_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "gradio" else real(name, *rest)
    )
    assert command("app") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'cdam-bench[app]'" in line


@pytest.mark.parametrize(
    ("slip", "told"),
    [
        ("timeout_s=soon", "timeout_s=soon"),
        ("methods=[cdamm]", "did you mean cdam"),
        ("allow_paths=maybe", "allow_paths=maybe: must be true or false"),
        ("backbone.checkpoint=nowhere.safetensors", "nowhere.safetensors not found"),
    ],
)
def test_a_slip_is_told_in_one_line_before_anything_is_served(slip, told, capsys):
    assert command("app", slip) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_its_folder_is_gone(number, status, tmp_path):
    pytest.importorskip("gradio")
    started = subprocess.Popen(
        [sys.executable, "-c", "from cdam_bench.cli import main; main(['app', 'port=7979'])"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert "http://127.0.0.1:7979" in started.stdout.readline()
    assert list(tmp_path.glob("cdam_bench_app_*"))
    started.send_signal(number)
    _, told = started.communicate(timeout=60)
    assert started.returncode == status, told
    assert "Traceback" not in told
    assert not list(tmp_path.glob("cdam_bench_app_*"))
