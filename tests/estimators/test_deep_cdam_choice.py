"""Deep CDAM's defaults are what the rule of docs/deep_cdam.md says of the committed numbers, and the page shows these numbers."""

import csv
import inspect
import itertools
import re
from collections import defaultdict
from pathlib import Path
from statistics import mean

import pytest
import yaml
from scipy.stats import rankdata

from cdam_bench.configs import config_dir
from cdam_bench.estimators import DeepCDAM, SmoothDeepCDAM

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference" / "deep_cdam_choice"
SETTINGS = list(itertools.product(("plain", "conservative"), ("1", "half", "all")))  # the simpler first


def rows_of(name):
    with (REFERENCE / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def ranks():
    """Of every setting, the nine ranks; 1 is the best."""
    means = defaultdict(dict)
    for row in rows_of("scores"):
        means[row["network"], row["score"]][row["gradient"], row["blocks"]] = float(row["mean"])
    assert len(means) == 9
    by_setting = defaultdict(list)
    for own in means.values():
        for setting, rank in zip(SETTINGS, rankdata([-own[s] for s in SETTINGS]), strict=True):
            by_setting[setting].append(float(rank))
    return by_setting


@pytest.fixture(scope="module")
def winner(ranks):
    return min(SETTINGS, key=lambda setting: mean(ranks[setting]))  # of several, the first


def test_the_defaults_are_what_the_rule_says(winner):
    gradient, blocks = winner
    for estimator in (DeepCDAM, SmoothDeepCDAM):
        defaults = inspect.signature(estimator).parameters
        assert (defaults["gradient"].default, str(defaults["blocks"].default)) == (gradient, blocks)
    for name in ("deep_cdam", "deep_cdam_smooth"):
        settings = yaml.safe_load((config_dir() / "estimator" / f"{name}.yaml").read_text(encoding="utf-8"))
        assert (settings["gradient"], str(settings["blocks"])) == (gradient, blocks)


def test_the_ranks_on_file_follow_from_the_means(ranks):
    on_file = defaultdict(list)
    for row in rows_of("scores"):
        on_file[row["gradient"], row["blocks"]].append(float(row["rank"]))
    assert {setting: sum(own) for setting, own in on_file.items()} == {s: sum(own) for s, own in ranks.items()}


def test_the_page_shows_the_mean_ranks(ranks):
    page = (ROOT / "docs" / "deep_cdam.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| (plain|conservative), (1|half|all)\b.*\| \**([\d.]+)\** \|$", page, re.MULTILINE)
    assert {(gradient, blocks): rank for gradient, blocks, rank in shown} == {
        setting: f"{mean(own):.2f}" for setting, own in ranks.items()
    }


def test_the_differences_on_file_are_those_of_the_winner_from_every_other_setting(winner):
    means = {
        (row["network"], row["score"], row["gradient"], row["blocks"]): float(row["mean"]) for row in rows_of("scores")
    }
    rows = rows_of("differences")
    assert len(rows) == 9 * (len(SETTINGS) - 1)
    for row in rows:
        cell = row["network"], row["score"]
        expected = means[(*cell, *winner)] - means[(*cell, row["other_gradient"], row["other_blocks"])]
        assert (row["gradient"], row["blocks"]) == winner
        assert float(row["difference"]) == pytest.approx(expected, rel=1e-3, abs=0.02)
