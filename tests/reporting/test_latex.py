"""LaTeX tables: booktabs, a caption with n and intervals, a label, digits below each other; no sign that LaTeX would trip over."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.latex import FITTING, escaped, label_of, to_latex
from cdam_bench.reporting.means import make_tables
from cdam_bench.store.columns import Column
from tests.reporting.stores import declared, write_cell

RAMP = np.arange(8.0)
HOSTILE = r"a_b #1 50% {x} $y$ c&d \e ~f ^g [h] *i |j| <k> “l” –"
COLUMNS = [
    Column("mine", HOSTILE, "share", better="high", table="own", note=f"A note: {HOSTILE}."),
    Column("long", "positive importance in the box of the other class", better="low", table="own"),
]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    for place, name in enumerate(("cdam", "my_method", "[first]")):
        scores = {"mine": RAMP + place, "long": -RAMP}
        write_cell(store, name, scores, dataset="50%_of", curves=(), metrics=declared(COLUMNS))
    (comparison,) = read_comparisons(store)
    (found,) = [one for one in make_tables(comparison) if one.name == "own"]
    return found


@pytest.fixture(scope="module")
def text(table):
    return to_latex(table)


def lines_of(text):
    """Heading and rows, as lists of cells."""
    body = re.search(r"\\toprule\n(.*)\\bottomrule", text, re.DOTALL)[1]
    rows = [line for line in body.splitlines() if line != r"\midrule"]
    assert all(row.endswith(r" \\") for row in rows)
    return [re.split(r"(?<!\\) & ", row.removesuffix(r" \\")) for row in rows]


def test_a_table_is_an_environment_with_booktabs_rules_a_caption_and_a_label(text):
    order = [r"\begin{table}", r"\caption{", r"\label{", r"\toprule", r"\midrule", r"\bottomrule", r"\end{table}"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert all(text.count(part) == 1 for part in order)
    assert r"\hline" not in text
    assert "|" not in re.search(r"\\begin\{tabular\}\{(.*)\}", text)[1]


def test_the_caption_says_n_and_the_intervals_and_all_else_stands_below(text):
    caption = re.search(r"\\caption\{(.*)\}\n", text)[1]
    assert "Mean over 8 images {[}95 \\% percentile-bootstrap interval over images" in caption
    assert "A note" not in caption
    below = text[text.index(r"\bottomrule") :]
    assert "A note" in below
    assert "Bold: the best mean" in below


def test_means_stand_on_the_right_of_their_column_and_intervals_on_the_left_of_theirs(table, text):
    assert r"\begin{tabular}{lr@{~}lr@{~}l}" in text
    heading, *rows = lines_of(text)
    assert len(heading) == 1 + len(table.columns)
    assert all(cell.startswith(r"\multicolumn{2}{c}{") for cell in heading[1:])
    for row, entries in zip(rows, table.rows, strict=True):
        assert len(row) == 1 + 2 * len(table.columns)
        means = [float(re.sub(r"\\textbf\{(.*)\}", r"\1", cell).replace("$-$", "-")) for cell in row[1::2]]
        assert means == pytest.approx([entry.interval.mean for entry in entries], abs=0.005)
        assert all(re.fullmatch(r"\{\[\}.*, .*\{\]\}", cell) for cell in row[2::2])


def test_long_headings_have_several_lines_and_their_arrow_stays_with_the_last_word(text):
    heading = lines_of(text)[0][2]
    assert heading.startswith(r"\multicolumn{2}{c}{\shortstack{positive\\importance in")
    assert heading.endswith(r"class $\downarrow$}}")


def test_what_users_name_cannot_break_latex(text):
    assert text.isascii()
    own = text.replace(FITTING, "{").replace("r@{~}l", "")
    plain = re.sub(r"\\[\\%&$#_{}~^]", "", own)
    depth = 0
    for sign in plain:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        assert depth >= 0
    assert depth == 0
    assert not set(plain) & set("#%~^")
    assert plain.count("$") % 2 == 0
    assert r"\label{tab:50-_of_digits_vit_own}" in text
    first = [row[0] for row in lines_of(text)]
    assert "{[}first{]}" in first  # a row that begins with [ would be an argument of the row before


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("A_LIF−MIF", r"$A_{\mathrm{LIF-MIF}}$"),
        ("ΔA′_box", r"$\Delta$$A'_{\mathrm{box}}$"),
        ("my_method", r"my\_method"),
        ("a\nb\x00c\x1bd", "a b c d"),
        ("\\input{x}", r"\textbackslash{}input\{x\}"),
        ("Müller", "Müller"),
    ],
)
def test_text_is_shown_as_it_is(given, expected):
    assert escaped(given) == expected


def test_labels_have_only_what_latex_takes():
    assert label_of("tab:a b#ü_1\\x") == "tab:a-b-_1-x"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_it_compiles(tmp_path, text):
    source = tmp_path / "page.tex"
    page = f"\\documentclass{{article}}\\usepackage{{booktabs,graphicx}}\\begin{{document}}{text}\\end{{document}}"
    source.write_text(page)
    subprocess.run(["pdflatex", "-halt-on-error", source.name], cwd=tmp_path, check=True, capture_output=True)
