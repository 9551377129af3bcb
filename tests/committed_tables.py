"""Tables of a page that repeat committed results: `<!-- table: DATASET means|differences SCORE … -->`, then a Markdown table."""

import re
from pathlib import Path

import pandas as pd
import pytest

from cdam_bench.reporting.names import display_name

REFERENCE = Path(__file__).parents[1] / "results" / "reference"
MEANS = ("correctness", "class_discrimination", "compactness", "localisation")
MARK = re.compile(r"<!-- table: (\S+) (means|differences) (.+?) -->\n((?:\|.*\n)+)")
NUMBER = re.compile(r"−?\d+(?:\.\d+)?")


def committed(dataset: str, kind: str) -> pd.DataFrame:
    """Columns estimator, score, mean, low, high and, for differences from CDAM, p_holm."""
    folder = REFERENCE / dataset
    if kind == "differences":
        return pd.read_csv(folder / "differences.csv").rename(columns={"difference": "mean"})
    return pd.concat([pd.read_csv(folder / f"{name}.csv") for name in MEANS])


def check_tables(page: str) -> int:
    """Every marked table has all methods, and in every cell mean, low and high as committed, to the digits shown; how many."""
    tables = MARK.findall(page)
    for dataset, kind, scores, text in tables:
        values = committed(dataset, kind).set_index(["estimator", "score"])
        by_name = {display_name(name): name for name in values.index.unique("estimator")}
        _heading, _rule, *rows = text.splitlines()
        assert len(rows) == len(by_name)
        for row in rows:
            name, *cells = (cell.strip().strip("*") for cell in row.strip("|").split("|"))
            assert len(cells) == len(scores.split())
            for score, cell in zip(scores.split(), cells, strict=True):
                shown = NUMBER.findall(cell)
                expected = values.loc[(by_name[name], score), ["mean", "low", "high"]]
                for text_shown, value in zip(shown, expected, strict=True):
                    digits = len(text_shown.partition(".")[2])
                    assert float(text_shown.replace("−", "-")) == pytest.approx(value, abs=0.51 * 10**-digits), (
                        f"{dataset} {name} {score}: {cell}, committed {list(expected)}"
                    )
    return len(tables)
