"""Figures show the finished cells' curves, and the same bytes every time."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from cdam_bench.drawing.maps import colours_of, draw_map
from cdam_bench.drawing.names import KNOWN, display_name, line_of
from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.figures import METADATA, curve_figures, map_grid, rendered, write_figures
from cdam_bench.reporting.recompute import Explained
from cdam_bench.store.chunks import CURVE, SCORE
from tests.reporting.stores import AXES, SIZES, write_cell

SCORES = {"A_MIF": np.arange(6.0)}


def write(store, num_images=0):
    nowhere = OmegaConf.create({"data_dir": "nowhere", "weights_dir": "nowhere"})
    runtime = OmegaConf.create({"device": "cpu", "batch_size": "auto"})
    return write_figures(read_comparisons(store), store / "figures", num_images, nowhere, runtime)


def figures_of(store):
    (comparison,) = read_comparisons(store)
    return dict(curve_figures(comparison))


def panel(figure, index):
    """Lines with a label in a panel: label → y values."""
    return {line.get_label(): line.get_ydata() for line in figure.axes[index].lines if line.get_label()[0] != "_"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    for estimator in ("gradcam", "cdam", "my_method"):
        write_cell(store, estimator, SCORES, targets=2)
    write_cell(store, "smoothgrad", SCORES, targets=2, done=4)
    return store


@pytest.fixture(scope="module")
def written(store):
    paths, problems = write(store)
    assert problems == []
    return paths


def test_every_figure_is_written_as_png_and_pdf(written):
    names = {"fidelity_pixel", "fidelity_patch", "fidelity_pixel_methods", "fidelity_patch_methods", "box_sensitivity"}
    assert {path.name for path in written} == {f"{name}.{extension}" for name in names for extension in ("png", "pdf")}
    assert all(path.read_bytes()[:4] in (b"\x89PNG", b"%PDF") for path in written)


@pytest.mark.parametrize("extension", ["png", "pdf"])
def test_figures_are_the_same_bytes_every_time(store, written, extension):
    again = rendered(figures_of(store)["box_sensitivity"], extension, METADATA[extension])
    (before,) = (path.read_bytes() for path in written if path.name == f"box_sensitivity.{extension}")
    assert again == before


def test_lines_are_means_over_images_of_the_right_and_of_the_wrong_map(store):
    (comparison,) = read_comparisons(store)
    curves = comparison.complete_cells[0].curves()[0]
    figure = figures_of(store)["fidelity_pixel"]
    for ranked_by in (0, 1):
        for order in (0, 1):
            expected = curves["fidelity_pixel"][:, ranked_by, order, :, 0].mean(0)
            assert panel(figure, 2 * ranked_by + order)["CDAM"] == pytest.approx(expected)
    sensitivity = figures_of(store)["box_sensitivity"]
    for map_of in (0, 1):
        assert panel(sensitivity, map_of)["CDAM"] == pytest.approx(curves["box_r"][:, map_of, :, 0].mean(0))


def test_unfinished_cells_have_no_line(store):
    assert list(panel(figures_of(store)["fidelity_patch"], 0)) == ["CDAM", "GradCAM", "my_method"]


def test_one_target_has_no_panel_for_the_wrong_map(tmp_path):
    write_cell(tmp_path, "cdam", SCORES)
    figures = figures_of(tmp_path)
    assert len(figures["fidelity_pixel"].axes) == 2
    assert len(figures["box_sensitivity"].axes) == 1


def test_undefined_correlations_are_left_out_of_the_curve(tmp_path):
    cell = write_cell(tmp_path, "cdam", SCORES)
    cell.open(cell.description["identity"], {"num_images": 2, "chunk_size": 2, **cell.description}, overwrite=True)
    curve = np.full((2, 1, len(SIZES), 1), np.nan)
    curve[0] = 0.25
    arrays = {"info/image": np.array(["a", "b"]), SCORE + "A_MIF": np.ones(2), CURVE + "box_r": curve}
    for start, stop in cell.ranges():
        cell.chunks.write(start, stop, arrays | {"info/seconds": np.array([1.0])})
    cell.finish(AXES)
    assert panel(figures_of(tmp_path)["box_sensitivity"], 0)["CDAM"] == pytest.approx([0.25] * len(SIZES))


def test_estimators_can_be_told_apart_by_colour_or_dashes():
    several = [*KNOWN, "mine", "yours", "another"]
    lines = [tuple(map(str, line_of(estimator, several).values())) for estimator in several]
    assert len(set(lines)) == len(several)


def test_zero_is_white_evidence_warm_and_counter_evidence_cold():
    against, neutral, for_it = colours_of(np.array([[-3.0, 0.0, 3.0]]))[0]
    assert neutral == pytest.approx([1, 1, 1], abs=0.04)
    assert for_it[0] > for_it[2] + 0.2
    assert against[2] > against[0] + 0.2


def test_colours_depend_on_the_sign_and_share_of_the_largest_magnitude_alone():
    scores = np.array([[1.0, -4.0], [2.0, 0.0]])
    assert colours_of(scores) == pytest.approx(colours_of(1000 * scores))
    assert colours_of(np.zeros((2, 2))) == pytest.approx(np.ones((2, 2, 3)), abs=0.04)


def test_a_box_is_drawn_around_its_pixels():
    axes = Figure().add_subplot()
    draw_map(axes, np.ones((8, 8)), box=(1, 2, 4, 7))  # rows 1 … 3, columns 2 … 6
    assert {patch.get_bbox().bounds for patch in axes.patches} == {(1.5, 0.5, 5, 3)}


def test_the_grid_has_every_image_target_and_estimator():
    estimators = [*KNOWN, "mine"]
    image = Explained(
        image_id="a",
        pixels=np.zeros((8, 8, 3)),
        targets=["zebra", "elephant"],
        logits=[3.0, -1.0],
        boxes=None,
        maps={estimator: np.random.default_rng(0).normal(size=(2, 8, 8)) for estimator in estimators},
    )
    figure = map_grid([image, image], "title")
    blocks, rows = 3, 4  # 11 estimators, five to a block
    assert len(figure.axes) == rows * (len(estimators) + blocks) + 1
    titles = " ".join(axes.get_title().replace("\n", " ") for axes in figure.axes)
    assert all(display_name(estimator) in titles for estimator in estimators)
    labels = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert labels.count("zebra (3.0)") == labels.count("elephant (−1.0)") == 2 * blocks


def test_a_grid_that_cannot_be_made_is_told_and_the_curves_are_still_there(tmp_path):
    write_cell(tmp_path, "cdam", SCORES, curves=("box_r",))
    # this made-up cell names no estimator that could be built
    written, problems = write(tmp_path, num_images=2)
    assert [path.name for path in written] == ["box_sensitivity.png", "box_sensitivity.pdf"]
    (problem,) = problems
    assert problem.startswith("no maps of digits · digits_vit: ")
