"""Numbers a user gives are checked in one place."""

import numpy as np
import pytest

from cdam_bench.errors import UserError, nearest_names, require_count, require_number


@pytest.mark.parametrize("value", [1, 50, 3.0, np.int64(7)])
def test_positive_whole_numbers_count(value):
    assert require_count("steps", value) == int(value)


@pytest.mark.parametrize("value", [0, -1, 2.5, float("inf"), float("nan"), True, "5", None])
def test_anything_else_does_not_count(value):
    with pytest.raises(UserError, match="steps="):
        require_count("steps", value)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), True, "0.5", None])
def test_a_number_outside_its_range_is_refused(value):
    with pytest.raises(UserError, match=r"share=.* must be between 0 and 1"):
        require_number("share", value, 0, 1)


def test_the_nearest_names_ignore_case_and_come_best_first():
    assert nearest_names("CDAMM", ["gradcam", "cdam", "smooth_cdam"])[0] == "cdam"
    assert nearest_names("xyz", ["gradcam", "cdam"]) == []


def test_a_message_is_one_line():
    assert str(UserError("two\n   lines")) == "two lines"
