"""`contrast={…}` in a run: another target for the maps, the same one for the metrics, and a cell of its own."""

import numpy as np
import pandas as pd
import yaml

from tests.runs import cdam_bench, files_below

CONTRAST = "contrast={gamma:0.6,num_classes:3}"
ONLY = ("metric.box_sensitivity=null", "metric.localisation=null", "estimator=cdam")


def test_a_contrast_changes_the_maps_and_not_what_is_measured(tmp_path):
    assert cdam_bench(tmp_path, *ONLY) == 0
    shared = files_below(tmp_path / "shared")
    assert cdam_bench(tmp_path, *ONLY, CONTRAST) == 0
    cells = tmp_path / "cells" / "digits_multi" / "digits_vit"
    assert sorted(path.name for path in cells.iterdir()) == ["cdam", "cdam_contrast"]
    plain, contrast = (cells / name for name in ("cdam", "cdam_contrast"))
    identities = [yaml.safe_load((cell / "cell.yaml").read_text())["identity"] for cell in (plain, contrast)]
    assert identities[1].pop("contrast") == {"gamma": 0.6, "num_classes": 3}
    assert identities[0] == identities[1]
    assert files_below(tmp_path / "shared") == shared
    scores = [pd.read_csv(cell / "scores.csv") for cell in (plain, contrast)]
    same = ["image", *(f"{one}{part}" for one in ("target", "other") for part in ("", "_index", "_logit"))]
    pd.testing.assert_frame_equal(scores[0][same], scores[1][same])
    assert not np.allclose(scores[0]["compactness"], scores[1]["compactness"])
    curves = [np.load(cell / "curves.npz") for cell in (plain, contrast)]
    starts, ends = ([array["fidelity_pixel"][..., step, :] for array in curves] for step in (0, -1))
    np.testing.assert_array_equal(*starts)  # nothing is perturbed yet: the plain logits
    np.testing.assert_array_equal(*ends)


def test_methods_blind_to_the_class_and_settings_that_cannot_be_are_told_in_one_line(tmp_path, capsys):
    for settings, reason in {
        (CONTRAST, "estimator=attention_map"): "maps of AttentionMap do not depend on the class",
        ("contrast=0.6",): "contrast=0.6: must be null or",
        ("contrast={gamma:-1}",): "contrast.gamma=-1: must be between",
        ("contrast={num_classes:10}",): "contrast.num_classes=10: the head has 9 outputs beside the target",
        ("contrast={strength:1}",): "strength is unknown",
    }.items():
        assert cdam_bench(tmp_path, *ONLY, *settings) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ")
        assert reason in error
