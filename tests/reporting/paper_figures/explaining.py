"""Made-up maps of made-up cells, in place of those that are computed again."""

import numpy as np

from cdam_bench.drawing.grids import Explained
from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.paper_figures.drawn import Drawing
from tests.reporting.stores import write_cell

SCORES = {"A_MIF": np.arange(6.0)}
UNSIGNED = {"attention_map": False, "gradcam": False}
SIDE, TOKEN = 32, 4
COLUMN, PAGE = 8.3, 16.5


def map_of(name, k):
    """A map whose tokens have one score each."""
    rng = np.random.default_rng(len(name) + 10 * k)
    scores = rng.normal(size=(SIDE // TOKEN, SIDE // TOKEN))
    return np.kron(np.abs(scores) if name in UNSIGNED else scores, np.ones((TOKEN, TOKEN)))


def explain(comparison, num_images):
    """As `recompute.explain_again`: the first images, with a map for every method and target."""
    cell = comparison.cells[0]
    targets = [str(cell.scores[name].iloc[0]) for name in ("target", "other", "target3") if name in cell.scores]
    maps = {
        one.key.estimator: np.stack([map_of(one.key.estimator, k) for k in range(len(targets))])
        for one in comparison.cells
    }
    pixels = np.random.default_rng(0).uniform(size=(SIDE, SIDE, 3))
    images = [
        Explained(name, pixels, targets, [1.0] * len(targets), None, maps, signed=UNSIGNED, outputs=comparison.outputs)
        for name in comparison.images[:num_images]
    ]
    return images, []


def drawing(**changes):
    settings = {"explain": explain, "column_cm": COLUMN, "page_cm": PAGE, "num_images": 2, "scatter_images": 4}
    return Drawing(**{**settings, **changes})


def comparisons_of(store, estimators=("cdam", "attention_map", "gradcam"), names=("cat", "dog"), **details):
    """Cells of these estimators in a store, compared."""
    for estimator in estimators:
        write_cell(store, estimator, SCORES, **{"targets": len(names), "names": names, **details})
    return read_comparisons(store)
