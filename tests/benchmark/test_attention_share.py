"""Attention share: how much of the logit's drop flows through the last attention, against models with hooks."""

import copy
import csv
import json
import sys

import numpy as np
import pytest
import torch

from cdam_bench.backbones import Backbone
from cdam_bench.benchmark.attention_share import (
    LABELS,
    MEASURES,
    Drops,
    last_block_drops,
    measure_attention_share,
    ratio_interval,
    survives_mean_attention,
    write_on_card,
)
from cdam_bench.cli import app
from cdam_bench.errors import UserError
from cdam_bench.metrics.paths import PATHS, PathReader
from cdam_bench.statistics import Interval
from tests.conftest import random_images, random_vit
from tests.reference.model import textbook_model
from tests.reference.paths import along_path
from tests.reference.paths import survives_mean_attention as reference_survives


def test_drops_equal_those_of_a_model_whose_last_attention_is_exchanged(backbone, textbook, images, targets):
    fill = random_images(2, seed=6)
    clean, *found = last_block_drops(backbone, images, targets[:, 0], fill, batch_size=1)
    for b, image in enumerate(images):
        target = targets[b, 0]
        torch.testing.assert_close(
            clean[b].double(), textbook(image[None].double())[0, target].detach(), rtol=1e-3, atol=1e-4
        )
        for path, logits in zip(PATHS, found, strict=True):
            expected = along_path(textbook, image, fill[b], path)[target]
            torch.testing.assert_close(logits[b].double(), expected, rtol=1e-3, atol=1e-4)


def test_top_1_survives_where_it_does_in_a_model_with_the_mean_attention_output():
    vit, images = random_vit(seed=5, depth=2), random_images(12, seed=7)
    backbone, textbook = Backbone(copy.deepcopy(vit)), textbook_model(vit)
    reader = PathReader(backbone, images, PATHS)
    found = survives_mean_attention(backbone, reader.attended, reader.stream)
    assert found.tolist() == reference_survives(textbook, images).tolist()
    assert 0 < found.sum() < len(images)  # else it would be no test


def test_shares_are_ratios_of_summed_drops():
    drops = Drops(*np.array([[4.0, 2.0], [0.0, 1.0], [1.0, 2.0], [3.0, 0.0]]))
    found = {name: one.mean for name, one in drops.shares().items()}
    expected = {"drop": 2.5, "left": 1 / 6, "attention_share": 3 / 5, "stream_share": 3 / 5}
    assert found == pytest.approx(expected)


def test_a_ratios_interval_covers_what_resampled_images_give():
    rng = np.random.default_rng(0)
    below = rng.uniform(1, 3, 200)
    above = 0.4 * below + rng.normal(0, 0.5, 200)
    found = ratio_interval(above, below)
    # the delta method, worked out apart: the spread of the residuals over the mean below
    spread = 1.96 * np.std(above - found.mean * below) / np.sqrt(200) / below.mean()
    assert (found.low, found.high) == pytest.approx((found.mean - spread, found.mean + spread), abs=0.1 * spread)
    assert np.isnan(ratio_interval(above, below - 2).low)  # a sum below that may be negative: no bounds


def test_the_command_writes_a_csv_and_a_markdown_table_that_agree(tmp_path, capsys):
    output = tmp_path / "share"
    settings = (
        "dataset.num_images=4",
        "batch_size=3",
        "runtime.device=cpu",
        "fills=[black,other_image]",
        f"output={output}",
    )
    assert run(settings) == 0
    with output.with_suffix(".csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == (*LABELS, "mean", "low", "high", "n")
    assert {(row["fill"], row["measure"]) for row in rows} == {
        (fill, name) for fill in ("black", "other_image") for name in MEASURES
    }
    text = output.with_suffix(".md").read_text()
    assert text in capsys.readouterr().out
    for row in rows:
        if row["measure"] == "drop":
            assert f"| {row['fill']} | {float(row['mean']):.2f} [" in text
    before = output.with_suffix(".csv").read_text().splitlines()
    assert run((*settings[:1], "batch_size=2", *settings[2:])) == 0
    for old, new in zip(before[1:], output.with_suffix(".csv").read_text().splitlines()[1:], strict=True):
        assert old.split(",")[:4] == new.split(",")[:4]
        assert [*map(float, old.split(",")[4:])] == pytest.approx(
            [*map(float, new.split(",")[4:])], rel=1e-3, nan_ok=True
        )


def test_shares_of_several_datasets_stand_on_one_card_beside_what_it_had(tmp_path):
    card = tmp_path / "network.json"
    card.write_text('{"parameters": 7}')
    for dataset, share in (("one", 0.25), ("two", 0.75)):
        write_on_card(card, dataset, {"blur": {"attention_share": Interval(share, share - 0.1, share + 0.1, 9)}})
    found = json.loads(card.read_text())
    assert found["parameters"] == 7
    assert found["attention share"]["one"] == {"blur": {"mean": 0.25, "low": 0.15, "high": 0.35, "images": 9}}
    assert found["attention share"]["two"]["blur"]["mean"] == 0.75


def test_a_card_that_is_none_is_named(tmp_path):
    (tmp_path / "notes.json").write_text("no card")
    with pytest.raises(UserError, match=r"card=.*notes.json: is no card"):
        write_on_card(tmp_path / "notes.json", "one", {})


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("fills=[]", "fills"),
        ("fills=[blurr]", "fill=blurr is unknown"),
        ("batch_size=0", "batch_size=0: must be a positive"),
        ("target_order=size", "target_order=size is unknown"),
        ("blur_sigma=-1", "blur_sigma=-1"),
    ],
)
def test_settings_that_cannot_be_are_told_in_one_line(setting, reason, capsys, tmp_path):
    assert run(("runtime.device=cpu", "dataset.num_images=2", f"output={tmp_path}/x", setting)) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert "Traceback" not in error


def run(settings):
    """The command in this process; returns its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["attention_share", *settings])
        try:
            app.run(measure_attention_share, "scripts/measure_attention_share")
        except SystemExit as exit_:
            return int(exit_.code or 0)
    return 0
