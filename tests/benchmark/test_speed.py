"""The speed report is complete and its helpers are right; how fast anything is, is not tested here."""

import json

import pytest
import torch
from omegaconf import OmegaConf

from cdam_bench.benchmark import speed
from cdam_bench.benchmark.contestants import contestants
from cdam_bench.configs import choices, config_dir
from cdam_bench.errors import UserError
from cdam_bench.reporting.cost import read_speeds


def small_run(folder, **settings):
    """The report of a run that takes a few seconds."""
    config = OmegaConf.load(config_dir() / "scripts" / "bench_speed.yaml")
    config.merge_with(
        {
            "architecture": "vit_tiny_patch16_224",
            "image_size": 64,
            "num_samples": 2,
            "rounds": 1,
            "growth": False,
            "paper_table": {"images": 1, "steps": 2, "sizes": [20, 40], "boxes": 2},
            "engine": {"batch_size": 2, "steps": 2, "boxes": 2},
            "output": str(folder / "speed.json"),
            **settings,
        }
    )
    speed.measure_speed(config)
    return json.loads((folder / "speed.json").read_text())


def test_the_report_has_every_row_of_the_claims(tmp_path, capsys):
    report = small_run(tmp_path)
    assert set(speed.LIMITS) < set(report["explanations"])
    assert all(row["ratio"] > 0 for row in report["explanations"].values())
    assert set(report["engine"]) == {"perturbation curves", "box responses"}
    assert len(report["paper_table"]["seconds"]) == 11  # ten estimators and the boxes
    assert "of plain forward throughput" in capsys.readouterr().out


def test_a_configured_backbone_and_a_few_methods_can_be_timed_and_figures_read_the_report(tmp_path):
    methods = ["cdam", "token_ablation"]
    report = small_run(tmp_path, backbone="digits_vit", methods=methods, textbook=False, paper_table={"images": 0})
    assert set(report["explanations"]) == {"cdam", "cdam, 2 targets", "token_ablation"}
    (read,) = read_speeds(tmp_path)
    assert (read.backbone, read.network) == ("digits_vit", "digits_vit at 64²")
    assert read.ratios["token_ablation"] > read.ratios["cdam"]


def test_slow_methods_are_apart_and_an_unknown_one_is_told_with_the_nearest():
    assert contestants("cheap") == (list(speed.LIMITS), [])
    cheap, slow = contestants("all")
    assert sorted([*cheap, *slow]) == sorted(choices("estimator"))
    assert {"rise", "smoothgrad", "occlusion"} <= set(slow)
    with pytest.raises(UserError, match="methods=smothgrad is unknown: did you mean smoothgrad"):
        contestants(["smothgrad"])


def test_the_fitted_order_of_a_power_law_is_its_exponent():
    assert speed.fitted_order([1, 2, 4, 8], [3 * n**1.7 for n in (1, 2, 4, 8)]) == pytest.approx(1.7)


def test_peak_memory_counts_what_is_held_at_once():
    def work():
        held = torch.ones(1_000_000)
        for _ in range(5):
            torch.ones(500_000)  # freed at once
        return held.sum()

    assert speed.peak_bytes(work, torch.device("cpu")) == pytest.approx(6e6, rel=0.01)
