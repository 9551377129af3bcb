"""What `make lidc-demo` promises: malignancy, diameter, and a map of the diameter that points at the nodule."""

import json

import pandas as pd
import pytest

from tests.scripts import command


@pytest.mark.slow
def test_the_phantoms_are_learned_and_the_diameters_map_points_at_the_nodule(tmp_path):
    """Four minutes on 2 cores."""
    phantom, scores = tmp_path / "phantom.npz", {}
    assert command("prepare", "phantom", f"output={phantom}") == 0
    for task in ("malignancy", "biomarkers"):
        places = [
            f"nodules={phantom}",
            f"output={tmp_path}/{task}.safetensors",
            f"work_dir={tmp_path}",
            f"results_dir={tmp_path}",
        ]
        assert command("train", "lidc", "finetuning=lidc_demo", f"task={task}", *places) == 0
        scores |= json.loads((tmp_path / f"{task}.json").read_text())["scores"]["test"]
    assert scores["accuracy"] >= 0.9
    assert scores["each"]["diameter"]["r2"] >= 0.8
    settings = ["dataset=phantom_biomarkers", f"dataset.nodules={phantom}", "estimator=cdam", f"results_dir={tmp_path}"]
    settings += [
        f"backbone.head.weights={tmp_path}/biomarkers.safetensors",
        "metric.fidelity=null",
        "metric.box_sensitivity=null",
    ]
    assert command("run", *settings) == 0
    (file,) = tmp_path.rglob("scores.csv")
    table = pd.read_csv(file)
    assert set(table.target8) == {"diameter"}
    assert len(table) == 160
    assert table.target8_mask_pointing_game.mean() >= 0.9
