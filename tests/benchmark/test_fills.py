"""Several fills in one cell: side by side, and the same however they are run."""

import numpy as np
import pandas as pd
import pytest

from tests.runs import cdam_bench

METRICS = "metric=[fidelity,box_sensitivity,fidelity_black,fidelity_other_image,fidelity_noise]"
FEW = ("estimator=attention_map", METRICS, "dataset.num_images=4", "metric.fidelity.steps=2", "runtime.device=cpu")


def scores(results_dir):
    return pd.read_csv(results_dir / "cells" / "digits_multi" / "digits_vit" / "attention_map" / "scores.csv")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Scores of one run, all images at once."""
    results = tmp_path_factory.mktemp("results")
    assert cdam_bench(results, *FEW, "chunk_size=4") == 0
    return scores(results)


def test_every_fill_has_columns_of_its_own(measured):
    columns = [measured[f"A_MIF{suffix}"] for suffix in ("", "_black", "_other_image", "_noise")]
    assert np.corrcoef(columns).max(where=~np.eye(4, dtype=bool), initial=0) < 0.9999


def test_fills_do_not_depend_on_chunks_batches_or_shards(measured, tmp_path):
    assert cdam_bench(tmp_path, *FEW, "chunk_size=1", "runtime.batch_size=3", "-m", "shards=2") == 0
    found = scores(tmp_path)
    assert found["image"].tolist() == measured["image"].tolist()
    numbers = [name for name in measured if measured[name].dtype.kind == "f"]
    np.testing.assert_allclose(found[numbers], measured[numbers], rtol=1e-4, atol=2e-3)


def test_two_metrics_with_columns_of_one_name_are_refused(tmp_path, capsys):
    twice = "+metric.again={_target_: cdam_bench.metrics.Fidelity, steps: 3}"
    assert cdam_bench(tmp_path, *FEW, twice) == 2
    told = capsys.readouterr().err
    assert "metric.fidelity and metric.again both give" in told
    assert "set metric.again.suffix" in told
    assert not list(tmp_path.iterdir())
