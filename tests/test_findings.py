"""Numbers on the pages are those of results/reference/."""

import pandas as pd
import pytest

from tests.committed_tables import check_claims, check_tables, committed
from tests.documented import ROOT, page, pages

REFERENCE = ROOT / "results" / "reference"
WITH_TABLES = [name for name in pages() if "<!-- table:" in page(name)]
FAMILY_COLUMNS = [
    ("cdam", "delta_A_LIF-MIF_patch", 0),
    ("cdam", "delta_A_box", 1),
    ("cdam", "right_box", 2),
    ("integrated_cdam", "right_box", 2),
    ("gradcam", "right_box", 2),
    ("random", "right_box", 2),
]


def test_the_demo_and_the_findings_have_tables():
    assert {"docs/gallery.md", "docs/findings.md"} <= set(WITH_TABLES)


@pytest.mark.parametrize("name", WITH_TABLES)
def test_the_tables_of_a_page_are_the_committed_ones(name):
    assert check_tables(page(name)) == page(name).count("<!-- table:") > 0


def test_the_verdicts_of_the_findings_are_the_committed_tests():
    assert check_claims(page("docs/findings.md")) > 20


def test_the_scores_of_the_families_are_the_committed_ones():
    folders = sorted(path for path in (REFERENCE / "families").iterdir() if path.is_dir())
    assert len(folders) == 5
    for folder in folders:
        lines = page("docs/families.md").splitlines()
        (row,) = [line for line in lines if line.startswith(f"| `{folder.name}` | ") and "[" in line]
        shown = [cell.strip() for cell in row.strip("|").split("|")][-len(FAMILY_COLUMNS) :]
        values = committed(f"families/{folder.name}", "means").set_index(["estimator", "score"])
        for (method, score, decimals), cell in zip(FAMILY_COLUMNS, shown, strict=True):
            mean, low, high = (f"{values.loc[(method, score)][name]:.{decimals}f}" for name in ("mean", "low", "high"))
            assert cell.replace("−", "-") == f"{mean} [{low}, {high}]", (folder.name, method, score)


def test_the_attention_shares_of_the_findings_are_the_committed_ones():
    files = sorted((REFERENCE / "attention_share").glob("*.csv"))
    assert len(files) == 3
    for file in files:
        share = pd.read_csv(file).set_index("measure").loc["attention_share"]
        mean, low, high = (round(100 * share[name]) for name in ("mean", "low", "high"))
        (row,) = [line for line in page("docs/findings.md").splitlines() if line.startswith(f"| `{file.stem}` |")]
        assert row.endswith(f"| {mean} % [{low}, {high}] |")
