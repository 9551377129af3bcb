"""The figure of LIDC, from hand-made maps."""

import numpy as np

from cdam_bench.drawing.nodules import nodule_figure, shown_estimator
from cdam_bench.reporting.figures import METADATA, rendered
from cdam_bench.reporting.recompute import Explained


def explained(outputs):
    rng = np.random.default_rng(0)
    mask = np.zeros((64, 64), bool)
    mask[20:40, 24:44] = True
    maps = {name: rng.normal(size=(outputs, 64, 64)) for name in ("attention_map", "gradcam", "smooth_cdam")}
    names = [f"output {k}" for k in range(outputs)]
    return Explained("P-a1/axial", rng.uniform(size=(64, 64, 3)), names, [0.5] * outputs, None, maps, mask)


def test_the_figure_has_slice_attention_and_a_map_per_output_all_outlined():
    figure = nodule_figure([explained(8), explained(8)], "phantoms")
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels[:3]] == ["a1/axial", "Attention map", "output 0 (+0.5)"]
    assert len(panels) == 2 * (1 + 1 + 8)
    assert all(axes.collections for axes in panels)
    assert "Smooth CDAM" in figure.texts[0].get_text()
    assert rendered(figure, "png", METADATA["png"])[:4] == b"\x89PNG"


def test_the_maps_of_the_outputs_are_never_the_class_blind_ones():
    assert shown_estimator(["attention_map", "gradcam"]) == "gradcam"
    assert shown_estimator(["attention_map", "smooth_cdam", "cdam"]) == "cdam"
