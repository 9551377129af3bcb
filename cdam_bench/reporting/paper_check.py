"""Are our numbers the paper's? Each printed number beside ours, with a test of the difference."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import norm, spearmanr, t

from cdam_bench.drawing.names import display_name
from cdam_bench.reporting.comparisons import Comparison, write_pages
from cdam_bench.reporting.formats import format_interval, format_number
from cdam_bench.reporting.layout import layout
from cdam_bench.reporting.markdown import markdown_rows
from cdam_bench.reporting.paper import PAPER_BACKBONE, paper_numbers
from cdam_bench.reporting.significance import SIGNIFICANCE
from cdam_bench.statistics import Interval, holm, mean_intervals
from cdam_bench.store.columns import Column
from cdam_bench.store.csv_text import csv_text

PAPER_IMAGES = 1000  # of each subset
ENOUGH = 10  # images: with fewer, a mean and a spread say nothing
POWER = 0.8  # of the test, at the difference that is called visible

# what the paper leaves open and each number depends on; the defaults are docs/choices.md's
EVERYWHERE = "the linear head's training run, the images drawn"
OF_SCORES = {  # part of a score's name → what it depends on
    "IF": "the blur (σ), the steps of the curves",
    "box": "the blur (σ), the sides of the boxes and the unit of their axis",
    "delta_": "which of two annotated classes is the target, the threshold on similar names",
    "compactness": "the subset it was taken on",
}
OF_METHODS = {
    "smooth_cdam": "the noise level, noisy or clean tokens",
    "smoothgrad": "the noise level",
    "integrated_gradients": "the baseline",
}


@dataclass(frozen=True)
class Check:
    """One number of the paper and ours.

    Args:
        estimator: the method.
        column: the score.
        printed: the paper's number, as printed.
        interval: our mean.
        gap: ours minus the paper's, as far as rounding to the printed digits does not explain it.
        p_value: of a t test of the gap, Holm-corrected over all numbers of the comparison.
        detectable: the smallest gap that the corrected test would find in four of five repetitions.
    """

    estimator: str
    column: Column
    printed: str
    interval: Interval
    gap: float
    p_value: float
    detectable: float

    @property
    def compatible(self) -> bool:
        return self.p_value > SIGNIFICANCE


def paper_checks(comparison: Comparison) -> list[Check]:
    """Every number that the paper prints for a comparison's dataset, where the finished cells have it.

    The paper gives means over 1000 images and no spread. The test takes the images' spread for the paper's images, too: the
    standard error of the difference is s·√(1/n + 1/1000). Images that both may have drawn make it too wide, never too narrow.

    Returns:
        Method by method; empty for other backbones and datasets, and for fewer than ten images.
    """
    numbers = paper_numbers().get(comparison.dataset, {}) if comparison.backbone == PAPER_BACKBONE else {}
    columns = {column.name: column for own in layout(comparison).values() for column in own}
    found = []
    for cell in comparison.complete_cells:
        for score, printed in numbers.get(cell.key.estimator, {}).items():
            if printed and score in cell.scores and score in columns and len(cell.scores) >= ENOUGH:
                values = comparison.values(cell, [score])
                found.append((cell.key.estimator, columns[score], printed, values[np.isfinite(values)]))
    if not found:
        return []
    gaps, alone = zip(*(_test(values, printed) for *_, printed, values in found), strict=True)
    wanted = norm.isf(SIGNIFICANCE / (2 * len(found))) + norm.ppf(POWER)  # standard errors
    checks = []
    for (estimator, column, printed, values), gap, p_value in zip(found, gaps, holm(np.array(alone)), strict=True):
        (interval,) = mean_intervals(values[:, None])
        detectable = wanted * _standard_error(values)
        checks.append(Check(estimator, column, printed, interval, gap, float(p_value), detectable))
    return checks


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) * np.sqrt(1 / len(values) + 1 / PAPER_IMAGES))


def _test(values: np.ndarray, printed: str) -> tuple[float, float]:
    """The gap that rounding leaves, and the two-sided p-value of a t test that it is 0."""
    half_a_digit = 0.5 * 10.0 ** -len(printed.partition(".")[2])
    gap = values.mean() - float(printed)
    left = float(np.sign(gap) * max(0.0, abs(gap) - half_a_digit))
    error = _standard_error(values)
    if error == 0:  # a method that is blind by rule has exactly 0 everywhere
        return left, float(left == 0)
    return left, float(2 * t.sf(abs(left) / error, len(values) - 1))


def open_choices(check: Check) -> str:
    """What the paper leaves open that this number depends on."""
    of_score = [choices for part, choices in OF_SCORES.items() if part in check.column.name]
    return "; ".join([*filter(None, [OF_METHODS.get(check.estimator)]), *of_score, EVERYWHERE])


def verdict_of(checks: list[Check]) -> tuple[str, str]:
    """The verdict in words, and how many numbers it rests on."""
    differing = sum(not check.compatible for check in checks)
    if not differing:
        return "Compatible with the paper", f"none of the {len(checks)} numbers differs."
    return "Not compatible with the paper", f"{differing} of the {len(checks)} numbers differ."


def check_note(comparison: Comparison, checks: list[Check]) -> str:
    """How it was tested."""
    return (
        f"The paper's means over {PAPER_IMAGES} images of {comparison.dataset} and ours over {comparison.counts}, backbone "
        f"{comparison.backbone} [95 % bootstrap interval over images]. A number is compatible unless a t test of the difference, "
        f"its standard error s·√(1/n + 1/{PAPER_IMAGES}) with our images' spread s, says otherwise at 5 %, Holm-corrected over "
        f"these {len(checks)} numbers; half a unit of the last printed digit is no difference. “Visible”: the difference that "
        "the test would find in four of five repetitions: compatible means no more than that the difference is probably smaller."
    )


def check_page(comparison: Comparison, checks: list[Check]) -> str:
    """Markdown: the verdict in a sentence, then a row per number."""
    heading = ["Estimator", "score", "paper", "ours", "visible", "verdict", "left open by the paper"]
    rows = []
    for check in checks:
        decimals = check.column.decimals
        rows.append(
            [
                *(display_name(check.estimator), check.column.text, check.printed.replace("-", "−")),
                format_interval(check.interval, decimals),
                format_number(check.detectable, decimals),
                "compatible" if check.compatible else "**not compatible**",
                "" if check.compatible else open_choices(check),
            ]
        )
    table = markdown_rows([heading, ["---", "---", *["---:"] * 3, "---", "---"], *rows])
    verdict, count = verdict_of(checks)
    parts = [f"## {comparison.title}: the paper's numbers", f"**{verdict}**: {count}", check_note(comparison, checks)]
    return "\n\n".join([*parts, table, orders(checks)]) + "\n"


def orders(checks: list[Check]) -> str:
    """Whether each score orders the methods as the paper does."""
    told = []
    for column in dict.fromkeys(check.column for check in checks):
        own = [check for check in checks if check.column == column]
        if len(own) > 2:
            paper, ours = [float(check.printed) for check in own], [check.interval.mean for check in own]
            told.append(f"{column.text} {format_number(float(spearmanr(paper, ours).statistic), 2)}")
    return (
        f"Spearman's rank correlation of our order of the methods with the paper's: {', '.join(told)}." if told else ""
    )


def check_csv(comparison: Comparison, checks: list[Check]) -> str:
    """One line per number, for machines."""
    heading = (
        *("dataset", "backbone", "estimator", "score", "paper"),
        *("mean", "low", "high", "n", "p_value", "compatible"),
    )
    rows = [
        [
            *(comparison.dataset, comparison.backbone, check.estimator, check.column.name, check.printed),
            *(check.interval, f"{check.p_value:.4g}", str(check.compatible).lower()),
        ]
        for check in checks
    ]
    return csv_text(heading, rows)


def write_paper_check(comparisons: list[Comparison], output_dir: Path) -> list[Path]:
    """Write <dataset>/<backbone>/paper_check.{md,csv} for every comparison that the paper has numbers for.

    Args:
        comparisons: from `read_comparisons`.
        output_dir: created if need be; pages of these comparisons that no longer hold are removed.
    Returns:
        The files written.
    """
    return write_pages(comparisons, output_dir, "paper_check", _pages)


def _pages(comparison: Comparison) -> dict[str, str]:
    checks = paper_checks(comparison)
    if not checks:
        return {}
    return {"paper_check.md": check_page(comparison, checks), "paper_check.csv": check_csv(comparison, checks)}
