"""The speed report is complete and its helpers are right; how fast anything is, is not tested here."""

import json

import pytest
import torch
from omegaconf import OmegaConf

from cdam_bench.benchmark import speed
from cdam_bench.configs import config_dir


def test_the_report_has_every_row_of_the_claims(tmp_path, capsys):
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
            "output": str(tmp_path / "speed.json"),
        }
    )
    speed.measure_speed(config)
    report = json.loads((tmp_path / "speed.json").read_text())
    assert set(speed.LIMITS) < set(report["explanations"])
    assert all(row["ratio"] > 0 for row in report["explanations"].values())
    assert set(report["engine"]) == {"perturbation curves", "box responses"}
    assert len(report["paper_table"]["seconds"]) == 11  # ten estimators and the boxes
    assert "of plain forward throughput" in capsys.readouterr().out


def test_the_fitted_order_of_a_power_law_is_its_exponent():
    assert speed.fitted_order([1, 2, 4, 8], [3 * n**1.7 for n in (1, 2, 4, 8)]) == pytest.approx(1.7)


def test_peak_memory_counts_what_is_held_at_once():
    def work():
        held = torch.ones(1_000_000)
        for _ in range(5):
            torch.ones(500_000)  # freed at once
        return held.sum()

    assert speed.peak_bytes(work, torch.device("cpu")) == pytest.approx(6e6, rel=0.01)
