"""Notes: what a reader must know before believing a number."""

from cdam_bench.drawing.names import display_name
from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.reporting.formats import exceptions, remaining_sentences
from cdam_bench.reporting.means import Table
from cdam_bench.reporting.page.plain import Plain
from cdam_bench.reporting.paper_check import EVERYWHERE, OF_METHODS, OF_SCORES
from cdam_bench.reporting.remaining import remaining_logit

FEW = 30  # images: with fewer, percentile bootstraps are visibly too narrow
PARTIAL, UNDEFINED = "partial", "undefined"


def note_values(comparison: Comparison, tables: list[Table]) -> list[Plain]:
    """The notes of a comparison, the gravest first."""
    columns = [column for table in tables for column in table.columns]
    notes = [(kind, text) for table in tables for kind, text in sorted(exceptions(table).items())]
    notes += [("few", sentence) for sentence in _few(comparison, tables)]
    notes += [("remaining", sentence) for sentence in remaining_sentences(remaining_logit(comparison, columns))]
    notes += [("choices", sentence) for sentence in _choices(comparison)]
    return [{"kind": kind, "text": f"{text.rstrip('.')}."} for kind, text in dict.fromkeys(notes)]


def _few(comparison: Comparison, tables: list[Table]) -> list[str]:
    """Whether there are enough images for tests and intervals."""
    told = [table.family.warning for table in tables if table.family.warning]
    fewest = min(len(cell.scores) for cell in comparison.cells)
    if fewest < FEW:
        told.append(f"With {fewest} images bootstrap intervals are narrower than they should be")
    return list(dict.fromkeys(told))


def _choices(comparison: Comparison) -> list[str]:
    """What the paper leaves open that these numbers depend on."""
    methods = {cell.key.estimator for cell in comparison.cells}
    of_scores = [choices for part, choices in OF_SCORES.items() if any(part in name for name in comparison.measured)]
    of_methods = [f"{display_name(name)}: {choices}" for name, choices in OF_METHODS.items() if name in methods]
    choices = "; ".join([*of_scores, *of_methods, EVERYWHERE])
    return [
        f"The paper leaves open what these numbers depend on: {choices}. What was chosen stands in the configuration below"
    ]
