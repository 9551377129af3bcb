"""Tables of a page that repeat committed results.

Before each stands `<!-- table: DATASET means SCORE … -->`, `<!-- table: DATASET differences SCORE … -->` (from CDAM), or
`<!-- table: DATASET agreement -->`. A table of claims stands after `<!-- claims: DATASET … -->`: a claim, what decides it
(`method`, `score`: the method's difference from CDAM), and for every dataset the difference, its interval and a verdict.
"""

import re
from pathlib import Path

import pandas as pd
import pytest

from cdam_bench.drawing.names import display_name

REFERENCE = Path(__file__).parents[1] / "results" / "reference"
PAIRED = ("differences", "agreement")
MARK = re.compile(r"<!-- table: (\S+) (means|differences|agreement)(.*?) -->\n((?:\|.*\n)+)")
CLAIMS = re.compile(r"<!-- claims: (.*?) -->\n((?:\|.*\n)+)")
NUMBER = re.compile(r"−?\d+(?:\.\d+)?")


def committed(dataset: str, kind: str) -> pd.DataFrame:
    """Columns estimator, score, mean, low, high and, for differences from CDAM, p_holm."""
    folder = REFERENCE / dataset
    if kind == "differences":
        return pd.read_csv(folder / "differences.csv").rename(columns={"difference": "mean"})
    return pd.concat([pd.read_csv(file) for file in sorted(folder.glob("*.csv")) if file.stem not in PAIRED])


def check_tables(page: str) -> int:
    """Every marked table shows what is committed, to the digits it shows; says how many there are."""
    tables = MARK.findall(page)
    for dataset, kind, scores, text in tables:
        _heading, _rule, *rows = text.splitlines()
        if kind == "agreement":
            lines = (REFERENCE / dataset / "agreement.md").read_text(encoding="utf-8").splitlines()
            assert rows == [line for line in lines if line.startswith("|")][2:]
        else:
            check_rows(rows, committed(dataset, kind), scores.split())
    return len(tables)


def check_rows(rows: list[str], values: pd.DataFrame, scores: list[str]) -> None:
    """One row per method, in the committed order: mean, low and high in its cells, significant differences in bold."""
    by_name = {display_name(name): name for name in values["estimator"].unique()}
    values = values.set_index(["estimator", "score"])
    assert len(rows) == len(by_name)
    for row, shown_name in zip(rows, by_name, strict=True):
        name, *cells = (cell.strip() for cell in row.strip("|").split("|"))
        assert name == shown_name
        assert len(cells) == len(scores)
        for score, cell in zip(scores, cells, strict=True):
            expected = values.loc[(by_name[name], score)]
            shown = NUMBER.findall(cell)
            assert len(shown) == 3
            for text, value in zip(shown, expected[["mean", "low", "high"]], strict=True):
                decimals = len(text.partition(".")[2])
                assert float(text.replace("−", "-")) == pytest.approx(value, abs=0.51 * 10**-decimals), (name, score)
            if "p_holm" in expected:
                assert cell.startswith("**") == (expected["p_holm"] <= 0.05), (name, score)


def check_claims(page: str) -> int:
    """Every cell of a table of claims says what the committed paired test says; returns how many there are."""
    checked = 0
    for datasets, text in CLAIMS.findall(page):
        _heading, _rule, *rows = text.splitlines()
        for row in rows:
            _claim, decides, *cells = (cell.strip() for cell in row.strip("|").split("|"))
            method, score = re.findall(r"`([^`]+)`", decides)
            for dataset, cell in zip(datasets.split(), cells, strict=True):
                found = committed(dataset, "differences").set_index(["estimator", "score"]).loc[(method, score)]
                assert cell == claim_cell(found, score), (dataset, method, score)
                checked += 1
    return checked


def claim_cell(found: pd.Series, score: str) -> str:
    """Difference from CDAM, its interval, and what the paired test corrected over the whole comparison says of it."""
    decimals = 2 if score == "right_box" else 1 if "box" in score else 0
    texts = [f"{value:.{decimals}f}" for value in found[["mean", "low", "high"]]]
    mean, low, high = (text.lstrip("-") if not text.strip("-0.") else text.replace("-", "−") for text in texts)
    verdict = "not shown" if found["p_holm"] > 0.05 else "**higher**" if found["mean"] > 0 else "**lower**"
    return f"{mean} [{low}, {high}] {verdict}"
