"""docs/networks.md says what the committed scores of eight short trainings say."""

import json
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata, spearmanr

from tests.documented import ROOT, page

STEMS = ROOT / "results" / "reference" / "stems"
SCORE = "A_LIF-MIF_patch"


@pytest.fixture(scope="module")
def networks():
    """A row per network, from the scores of every mosaic and from the cards."""
    scores = pd.read_parquet(STEMS / "scores.parquet")
    rows = {}
    for card in sorted((STEMS / "cards").glob("*.json")):
        about = json.loads(card.read_text(encoding="utf-8"))
        own = scores[scores["backbone"] == card.stem].groupby("estimator")[SCORE].mean()
        floor, best = own["random"], own["attn_lrp"]
        rows[card.stem] = {
            "stem": "conv" if "embed_layer" in about["config"]["backbone"]["model_args"] else "linear",
            "one_photograph": about["test accuracy"]["one photograph, top 1"],
            "attention_share": about["attention share"]["cifar10_grid"]["blur"]["mean"],
            **own,
            "lag_of_cdam": 1 - (own["cdam"] - floor) / (best - floor),
            "lag_of_deep_cdam": 1 - (own["deep_cdam"] - floor) / (best - floor),
        }
    return pd.DataFrame(rows).T.infer_objects()


def test_the_table_is_that_of_the_scores_and_cards(networks):
    kept = pd.read_csv(STEMS / "networks.csv", index_col="network")
    numbers = [
        "one_photograph",
        "attention_share",
        "random",
        "cdam",
        "deep_cdam",
        "attn_lrp",
        "lag_of_cdam",
        "lag_of_deep_cdam",
    ]
    assert list(kept.index) == list(networks.index)
    assert kept["stem"].tolist() == networks["stem"].tolist()
    assert kept[numbers].to_numpy() == pytest.approx(networks[numbers].astype(float).to_numpy(), rel=1e-5)
    rows = [line for line in page("docs/networks.md").splitlines() if line.startswith(("| conv", "| linear"))]
    for row, (_, network) in zip(rows, networks.iterrows(), strict=True):
        cells = [cell.strip().rstrip(" %").replace("−", "-") for cell in row.strip("|").split("|")]
        assert cells[0] == network["stem"]
        assert [*map(float, (cells[3], cells[5], *cells[6:]))] == pytest.approx(
            [100 * network["one_photograph"], *(network[name] for name in numbers[1:])], abs=0.51
        )
        assert float(cells[10]) == pytest.approx(network["lag_of_cdam"], abs=0.0051)


def test_the_correlations_of_the_page_are_those_of_the_networks(networks):
    text = " ".join(page("docs/networks.md").split())
    share, lag, accuracy = (
        networks[name].astype(float) for name in ("attention_share", "lag_of_cdam", "one_photograph")
    )
    found = spearmanr(share, lag).statistic
    shares, lags = rankdata(share) - 4.5, rankdata(lag)
    products = np.array(list(permutations(lags))) @ shares
    p_value = np.mean(products <= lags @ shares + 1e-9)
    assert f"is −{-found:.2f} over the eight networks (one-sided permutation test, p {p_value:.3f})" in text
    within = [spearmanr(own["attention_share"], own["lag_of_cdam"]).statistic for _, own in networks.groupby("stem")]
    assert within == pytest.approx([-0.8, -0.8])
    assert "and −0.80 within each stem" in text
    assert f"have smaller shares (−{-spearmanr(accuracy, share).statistic:.2f})" in text
    assert f"lags ({spearmanr(accuracy, lag).statistic:.2f}, a closer relation" in text


def test_deep_cdam_trails_less_than_cdam_in_all(networks):
    assert (networks["lag_of_deep_cdam"] < networks["lag_of_cdam"]).all()
    deep, last = networks["lag_of_deep_cdam"].astype(float), networks["lag_of_cdam"].astype(float)
    text = page("docs/networks.md")
    assert f"by {deep.min():.2f} to {deep.max():.2f} against {last.min():.2f} to {last.max():.2f}" in text
