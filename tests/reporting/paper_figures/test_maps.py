"""Maps of the paper's figures: every output and method, and evidence against an output is hatched, so that grey prints show it."""

import io

import matplotlib.image
import numpy as np
import pytest

from cdam_bench.drawing.grids import Explained
from cdam_bench.drawing.sizes import fitted
from cdam_bench.drawing.style import styled
from cdam_bench.reporting.paper_figures.maps import HATCHED_FROM, NARROW, WIDE, method_maps, output_maps
from tests.drawing.overlaps import all_texts, troubles

NAMES = ["cdam", "attention_map", *(f"method_{i}" for i in range(9))]


def image_with(scores, names=NAMES, targets=("cat", "dog")):
    maps = {name: np.stack([np.abs(scores) if name == "attention_map" else scores] * len(targets)) for name in names}
    pixels = np.full((*scores.shape, 3), 0.5)
    signed = {"attention_map": False}
    return Explained("image-0", pixels, list(targets), [1.0] * len(targets), None, maps, signed=signed)


def grey(figure):
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format="png", dpi=300)
    buffer.seek(0)
    return matplotlib.image.imread(buffer)[..., :3] @ [0.2126, 0.7152, 0.0722]


def token(axes, pixels, row, column):
    """What is printed of a token of a 2 × 2 map, without its edges."""
    box = axes.get_position()
    height, width = pixels.shape
    left, top = box.x0 * width, (1 - box.y1) * height
    wide, tall = box.width * width / 2, box.height * height / 2
    y, x = int(top + (row + 0.15) * tall), int(left + (column + 0.15) * wide)
    return pixels[y : y + int(0.7 * tall), x : x + int(0.7 * wide)]


def test_in_a_grey_print_evidence_against_a_class_is_hatched_and_evidence_for_it_is_not():
    scores = np.kron([[1.0, -1.0], [-0.3, -0.2]], np.ones((8, 8)))
    figure = fitted(output_maps([image_with(scores, ["cdam"])], NARROW), 8.3)
    pixels, axes = grey(figure), figure.axes[1]
    assert HATCHED_FROM == 0.25
    parts = {(i, j): token(axes, pixels, i, j) for i in (0, 1) for j in (0, 1)}
    assert parts[0, 0].std() < 0.01
    assert parts[0, 1].std() > 0.1
    assert parts[1, 0].std() > 0.02
    assert parts[1, 1].std() < 0.01
    assert abs(parts[0, 0].mean() - parts[0, 1].min()) < 0.1  # the colours alone are as dark


def test_maps_without_a_sign_are_never_hatched():
    figure = output_maps([image_with(np.ones((8, 8)), ["attention_map"])], NARROW)
    assert all(not axes.collections for axes in figure.axes)


def test_every_method_and_target_has_a_panel_and_a_heading():
    figure = method_maps([image_with(np.eye(8))] * 2, WIDE)
    blocks, rows = 2, 4  # eleven methods, at most six beside a picture
    assert len(figure.axes) == rows * (len(NAMES) + blocks) + 2
    texts = all_texts(figure)
    assert {"CDAM", "Attention map", "method_8"} <= set(texts)
    assert texts.count("cat logit 1.0") == 2 * blocks
    assert troubles(fitted(figure, 16.5)) == []


def test_letters_are_as_large_however_few_the_methods_are():
    sizes = []
    for names in (NAMES, NAMES[:4]):
        figure = fitted(method_maps([image_with(np.eye(8), names)], WIDE), 16.5)
        sizes.append({round(text.get_fontsize(), 6) for text in figure.texts})
    assert sizes[0] == sizes[1]
    assert all(6.5 <= size <= 9 for size in sizes[0])


@pytest.mark.parametrize("count", [1, 2, 8])
def test_every_output_has_a_panel_beside_the_picture_and_the_attention(count):
    targets = [f"biomarker {k}" for k in range(count)]
    across = WIDE if count > 2 else NARROW
    figure = output_maps([image_with(np.eye(8), targets=targets)], across)
    assert len(figure.axes) == count + 2 + 2
    texts = all_texts(figure)
    assert all(f"{target} logit 1.0" in texts for target in targets)
    assert texts.count("picture") == 1
    assert troubles(fitted(figure, 16.5 if count > 2 else 8.3)) == []
