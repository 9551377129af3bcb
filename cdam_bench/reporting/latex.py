"""Tables as LaTeX."""

import re

from cdam_bench.reporting.formats import caption, text_grid
from cdam_bench.reporting.means import Table

LATEX_SIGNS = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "−": "$-$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "Δ": r"$\Delta$",
    "′": "$'$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "–": "--",
    "“": "``",
    "”": "''",
}


def to_latex(table: Table) -> str:
    """A table environment with booktabs rules; needs \\usepackage{booktabs} and graphicx."""
    heading, *rows = text_grid(table, lambda text: f"\0{text}\1")
    lines = [" & ".join(map(_latex, line)) + r" \\" for line in (heading, *rows)]
    variant = f"_{table.comparison.variant}" if table.comparison.variant else ""
    label = f"tab:{table.comparison.dataset}_{table.comparison.backbone}_{table.name}{variant}"
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            f"\\caption{{{_latex(caption(table))}}}",
            f"\\label{{{label}}}",
            r"\resizebox{\linewidth}{!}{%",
            f"\\begin{{tabular}}{{l{'r' * (len(heading) - 1)}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
            "",
        ]
    )


def _latex(text: str) -> str:
    """Escape for LaTeX; subscripts of A become real ones; \\0 … \\1 encloses what is bold."""
    subscripts = re.split(r"(A′?_[A-Za-z]+(?:−[A-Za-z]+)?)", text)
    parts = []
    for i, part in enumerate(subscripts):
        if i % 2:
            base, _, index = part.partition("_")
            parts.append(f"${base.replace('′', chr(39))}_{{\\mathrm{{{index.replace('−', '-')}}}}}$")
        else:
            parts.append("".join(LATEX_SIGNS.get(sign, sign) for sign in part))
    return "".join(parts).replace("\0", r"\textbf{").replace("\1", "}")
