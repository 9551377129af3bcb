"""measure maps: rank correlation of methods' maps, against scipy on the maps themselves."""

import csv

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from cdam_bench.configs import build_backbone, build_dataset, build_preprocessing, compose
from cdam_bench.estimators import CDAM, AttentionMap
from tests.scripts import command


def test_correlation_is_scipys_of_the_methods_token_scores(tmp_path):
    output = tmp_path / "maps.csv"
    assert command("measure", "maps", f"output={output}", "dataset.num_images=3", "batch_size=2") == 0
    with output.open(newline="") as file:
        rows = {row["reading"]: row for row in csv.DictReader(file)}
    config = compose(["dataset.num_images=3"], "scripts/measure_maps")
    backbone = build_backbone(config)
    dataset = build_dataset(config, build_preprocessing(config))
    expected = {"signed": [], "absolute": []}
    for i in range(3):
        image, classes = dataset[i].image[None], torch.tensor(dataset[i].targets)
        target = classes[backbone.logits(image)[0, classes].argmax()][None]
        cdam, attention = (
            method.token_scores(backbone, image, target).flatten().numpy() for method in (CDAM(), AttentionMap())
        )
        expected["signed"].append(spearmanr(cdam, attention).statistic)
        expected["absolute"].append(spearmanr(np.abs(cdam), attention).statistic)
    for reading, values in expected.items():
        assert float(rows[reading]["spearman"]) == pytest.approx(np.mean(values), abs=1e-3)


@pytest.mark.parametrize(
    ("estimators", "message"),
    [
        ("[cdam]", "name at least two"),
        ("[cdam,cdma]", "did you mean cdam"),
        ("[cdam,'smooth_cdam noise=3']", "noise"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, estimators, message):
    assert command("measure", "maps", f"output={tmp_path}/m.csv", f"estimators={estimators}") == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert message in told[-1]
    assert len(told) == 1
