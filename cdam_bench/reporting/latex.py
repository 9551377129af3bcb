"""Tables as LaTeX, and text that LaTeX takes."""

import re
import textwrap

from cdam_bench.reporting.formats import format_interval, row_name, sentences_of
from cdam_bench.reporting.means import Entry, Table
from cdam_bench.store.columns import Column

LATEX_SIGNS = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "[": "{[}",  # else an argument of \\ where a row begins with it
    "]": "{]}",
    "*": "{*}",  # the same
    '"': "''",
    "|": "$|$",
    "<": "$<$",
    ">": "$>$",
    "−": "$-$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\rightarrow$",
    "²": "$^2$",
    "½": r"$\frac{1}{2}$",
    "Δ": r"$\Delta$",
    "Σ": r"$\Sigma$",
    "σ": r"$\sigma$",
    "ρ": r"$\rho$",
    "τ": r"$\tau$",
    "′": "$'$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "–": "--",
    "…": r"\ldots{}",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
    "\u00a0": " ",
}
HEADING = 15  # letters on a line of a heading
# no wider than the text, and never blown up
FITTING = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def to_latex(table: Table) -> str:
    """A table environment with booktabs rules; needs \\usepackage{booktabs} and graphicx.

    The caption says what the table is of, n and the intervals; all else stands in small letters below. Means are aligned on the
    right and their intervals on the left, so that digits stand below each other.
    """
    what = sentences_of(table)
    variant = f"_{table.comparison.variant}" if table.comparison.variant else ""
    label = f"tab:{table.comparison.dataset}_{table.comparison.backbone}_{table.name}{variant}"
    kinds = ["r@{~}lr" if table.has_paper(j) else "r@{~}l" for j in range(len(table.columns))]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            f"\\caption{{{escaped(' '.join(what[:2]))}}}",
            f"\\label{{{label_of(label)}}}",
            r"\medskip",
            r"\setlength{\tabcolsep}{4pt}",
            FITTING,
            f"\\begin{{tabular}}{{l{''.join(kinds)}}}",
            r"\toprule",
            _row(["Estimator", *(_heading(table, j, column) for j, column in enumerate(table.columns))]),
            r"\midrule",
            *_rows(table),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\par\smallskip",
            f"{{\\footnotesize\\raggedright {escaped(' '.join(what[2:]))}\\par}}",
            r"\end{table}",
            "",
        ]
    )


def escaped(text: str) -> str:
    """Text as LaTeX shows it; subscripts of A become real ones, and control characters go."""
    subscripts = re.split(r"(A′?_[A-Za-z]+(?:−[A-Za-z]+)?)", text)
    parts = []
    for i, part in enumerate(subscripts):
        if i % 2:
            base, _, index = part.partition("_")
            parts.append(f"${base.replace('′', chr(39))}_{{\\mathrm{{{index.replace('−', '-')}}}}}$")
        else:
            parts.append("".join(LATEX_SIGNS.get(sign, sign if sign.isprintable() else " ") for sign in part))
    return "".join(parts)


def label_of(text: str) -> str:
    """A name for \\label: what LaTeX might stumble over becomes a hyphen."""
    return re.sub(r"[^A-Za-z0-9:_.-]+", "-", text)


def _heading(table: Table, j: int, column: Column) -> str:
    """Over a column's mean and interval, in as many lines as it needs; the arrow stays with the last word."""
    lines = textwrap.wrap(re.sub(" ([↑↓])$", "\u00a0\\1", column.heading), HEADING, break_long_words=False)
    shown = r"\\".join(map(escaped, lines))
    text = f"\\shortstack{{{shown}}}" if len(lines) > 1 else shown
    return f"\\multicolumn{{2}}{{c}}{{{text}}}" + (" & paper" if table.has_paper(j) else "")


def _rows(table: Table) -> list[str]:
    rows = []
    for cell, entries in zip(table.comparison.cells, table.rows, strict=True):
        parts = [escaped(row_name(cell))]
        for j, (column, entry) in enumerate(zip(table.columns, entries, strict=True)):
            parts += _number(column, entry)
            if table.has_paper(j):
                parts.append(escaped(entry.paper.replace("-", "−") or "–"))
        rows.append(_row(parts))
    return rows


def _number(column: Column, entry: Entry) -> list[str]:
    """The mean, bold where it is the best, and its interval."""
    mean, _, interval = format_interval(entry.interval, column.decimals).partition(" ")
    text = escaped(mean)
    return [f"\\textbf{{{text}}}" if entry.best else text, escaped(interval)]


def _row(parts: list[str]) -> str:
    return " & ".join(parts) + r" \\"
