"""Turns: one at a time, and not for ever."""

import threading
import time

import pytest
import torch
from torch import nn

from cdam_bench.app import turns
from cdam_bench.app.turns import TimeOverError, Turns, time_limit
from cdam_bench.errors import UserError

LAYER = nn.Linear(2, 2)


def endless():
    for _ in range(10**6):
        LAYER(torch.zeros(1, 2))
        time.sleep(0.005)


def test_a_network_that_runs_too_long_is_stopped_in_one_line_and_the_next_work_is_done():
    both = Turns(0.1)
    started = time.monotonic()
    with pytest.raises(TimeOverError, match=r"longer than 0\.1 s"):
        both.run(endless)
    assert time.monotonic() - started < turns.GRACE
    assert both.run(lambda: LAYER(torch.zeros(1, 2)).shape) == (1, 2)


def test_what_enters_no_layer_is_waited_for_no_longer_and_meanwhile_others_are_refused(monkeypatch):
    monkeypatch.setattr(turns, "GRACE", 0.0)
    release, both = threading.Event(), Turns(0.05)
    with pytest.raises(TimeOverError):
        both.run(lambda: release.wait(20))
    with pytest.raises(UserError, match="still running"):
        both.run(lambda: None)
    release.set()


def test_only_the_limited_thread_is_stopped_and_only_inside():
    with time_limit(0.0):
        time.sleep(0.001)
        with pytest.raises(TimeOverError):
            LAYER(torch.zeros(1, 2))
        found = []
        other = threading.Thread(target=lambda: found.append(LAYER(torch.zeros(1, 2))))
        other.start()
        other.join()
        assert len(found) == 1
    LAYER(torch.zeros(1, 2))


def test_an_error_of_the_work_comes_through():
    with pytest.raises(UserError, match="wrong name"):
        Turns(5).run(lambda: (_ for _ in ()).throw(UserError("wrong name")))
