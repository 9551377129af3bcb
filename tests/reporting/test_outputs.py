"""What kind the outputs are, and nothing else, decides which tables and figures a dataset gets."""

import numpy as np
import pytest

from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.figures import captions, comparison_figures
from cdam_bench.reporting.outputs import write_outputs
from cdam_bench.reporting.paired import write_paired
from cdam_bench.reporting.tables import write_tables
from tests.reporting.stores import write_cell

NAMES = ("stripes", "tails", "feathers")  # the same targets in the same order on every image
SCORES = {
    "A_MIF": np.arange(4.0),
    "other_A_MIF": np.arange(4.0) + 10,
    "target3_A_MIF": np.arange(4.0) + 20,
    "other_right_box": np.ones(4),
    "right_box": np.ones(4),
    "mask_area": np.full(4, 0.25),
}


def fill(store, outputs):
    for estimator in ("cdam", "gradcam"):
        write_cell(store, estimator, SCORES, targets=3, names=NAMES, outputs=outputs, curves=("box_r",))
    return read_comparisons(store)


def written(comparisons, folder):
    files = [
        *write_tables(comparisons, folder),
        *write_paired(comparisons, folder),
        *write_outputs(comparisons, folder),
    ]
    return {path.name for path in files if path.suffix == ".md"}


@pytest.mark.parametrize("outputs", ["concepts", "classes", "labels"])
def test_three_concepts_that_rank_alike_on_every_image_get_ordinary_tables(tmp_path, outputs):
    comparisons = fill(tmp_path, outputs)
    expected = {"correctness.md", "localisation.md", "mask_localisation.md", "differences.md", "tables.md"}
    assert written(comparisons, tmp_path / "tables") == expected
    assert {name for name, _ in comparison_figures(comparisons[0], [])} == {"scores", "box_sensitivity"}
    assert set(captions(comparisons[0])) == {"maps", "scores", "box_sensitivity"}


def test_quantities_get_one_page_with_a_column_per_output_and_no_curves(tmp_path):
    comparisons = fill(tmp_path, "quantities")
    assert written(comparisons, tmp_path / "tables") == {"outputs.md", "tables.md"}
    assert dict(comparison_figures(comparisons[0], [])) == {}
    text = (tmp_path / "tables" / "digits" / "digits_vit" / "outputs.md").read_text()
    assert "A_MIF ↓ (logit · percent)." in text
    assert "| Estimator | stripes | tails | feathers |" in text
    row = next(line for line in text.splitlines() if line.startswith("| CDAM |"))
    assert [cell.split()[0] for cell in row.strip("| ").split(" | ")[1:]] == ["1.5", "11.5", "21.5"]
    assert "Mean over 4 images" in text
    assert "Area of the mask: 0.25 (share of the image). The area is the positive share of a uniform map." in text
    assert "right object" not in text  # not measured for every output


def test_unfinished_cells_of_quantities_are_marked(tmp_path):
    fill(tmp_path, "quantities")
    write_cell(tmp_path, "smoothgrad", SCORES, targets=3, names=NAMES, outputs="quantities", curves=(), done=2)
    (path,) = write_outputs(read_comparisons(tmp_path), tmp_path / "tables")
    assert "Mean over 4 or 2 of 4 images" in path.read_text()
    assert "| SmoothGrad (2 of 4) |" in path.read_text()
