"""The page of methods says of every estimator what its class and its file in conf/ say."""

import inspect
import re
from pathlib import Path

import pytest
import yaml
from hydra.utils import get_class

from cdam_bench.configs import config_dir

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"
HEADING = ["`estimator=`", "rule", "signed", "class-aware", "reads", "cost", "measured", "settings", "source"]


def rows():
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    heading, _, *body = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    assert heading == HEADING
    return {row[0].strip("`"): dict(zip(HEADING, row, strict=True)) for row in body}


def configured():
    return {file.stem: yaml.safe_load(file.read_text()) for file in (config_dir() / "estimator").glob("*.yaml")}


def test_every_estimator_has_its_row_once():
    assert sorted(rows()) == sorted(configured())
    assert PAGE.read_text(encoding="utf-8").count("\n| `") == len(configured()) + 1  # and the heading


@pytest.mark.parametrize("name", sorted(configured()))
def test_a_row_says_what_the_class_says(name):
    row, settings = rows()[name], configured()[name]
    cls = get_class(settings.pop("_target_"))
    assert (row["signed"], row["class-aware"]) == tuple(
        "yes" if is_so else "no" for is_so in (cls.signed, cls.class_aware)
    )
    told = re.findall(r"`(\w+)`", row["settings"])
    if row["settings"] != "as above":
        assert told == [key for key in inspect.signature(cls).parameters if key in settings]
        assert set(told) == set(settings)


def test_no_cell_but_the_settings_is_empty():
    empty = [(name, key) for name, row in rows().items() for key in HEADING if not row[key] and key != "settings"]
    assert empty == []
