"""The program: quick where nothing is to be done, 130 after Ctrl-C, the nearest name for a misspelt one."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.runs import SMALL
from tests.scripts import command

HEAVY = ("torch", "torchvision", "timm", "captum", "pandas", "sklearn", "scipy", "matplotlib")
QUICK = {
    "the list of commands": ["--help"],
    "help of a run": ["run", "--help"],
    "help of a training": ["train", "digits", "--help"],
    "help of explaining": ["explain", "--help"],
    "a misspelt command": ["rnu"],
    "a misspelt choice": ["run", "estimator=cdamm"],
    "a misspelt key": ["run", "runtime.devcie=cpu"],
    "a misspelt key with a plus": ["run", "+runtime.devcie=cpu"],
    "a misspelt choice of explain": ["explain", "estimator=cdamm"],
    "a misspelt key of a sweep": ["sweep", "sed=1"],
    "the whole configuration": ["run", "--cfg", "job"],
}


@pytest.mark.parametrize("case", QUICK)
def test_help_and_slips_import_nothing_heavy(case, tmp_path):
    code = (
        "import sys\n"
        "from cdam_bench.cli import main\n"
        "try:\n"
        f"    main({QUICK[case]})\n"
        "finally:\n"
        f"    print('imported:', *(name for name in {HEAVY} if name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == (2 if "misspelt" in case else 0), done.stderr
    assert done.stdout.splitlines()[-1] == "imported:"
    assert len(done.stderr.splitlines()) == ("misspelt" in case)


@pytest.mark.parametrize("words", [["run"], ["sweep", "estimator=smooth_cdam,cdam"]], ids=["run", "sweep"])
def test_ctrl_c_ends_with_130_in_one_line_and_what_is_done_stays(words, tmp_path):
    endless = [*SMALL, "dataset.num_images=600", "chunk_size=1"]
    program = [sys.executable, "-m", "cdam_bench.cli", *words, *endless, f"results_dir={tmp_path}"]
    code = f"import sys; sys.argv[1:] = {program[3:]!r}; from cdam_bench.cli import main; main()"
    # a shell gives a program of its own group SIGINT; a background one would ignore it
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not list(tmp_path.glob("cells/*/*/*/chunks/*.npz")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert "interrupted: the same command continues where this one stopped" in told.splitlines()
    assert list(tmp_path.glob("cells/*/*/*/chunks/*.npz"))
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["rnu"], "did you mean run"),
        (["tabels"], "did you mean tables"),
        (["train", "digit"], "train digits"),
        (["train"], "use one of train digits, train cifar10, train photographs, train probe, train lidc"),
        (["qqqq"], "`cdam-bench --help` lists the commands"),
    ],
)
def test_a_misspelt_command_gets_the_nearest_ones_in_one_line(words, told, capsys):
    assert command(*words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: command ")
    assert told in line
