"""Every table of a fidelity says what the perturbation leaves of the logit, from the curves, whatever the metric is called."""

import numpy as np

from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.formats import caption
from cdam_bench.reporting.means import make_tables
from cdam_bench.reporting.paired import differences, differences_page
from cdam_bench.store.columns import Column, Curve
from tests.reporting.stores import PERCENT, declared, write_cell

SCORES = {"A_LIF": np.ones(4), "mine": np.ones(4), "compactness": np.ones(4)}


def curves(start, end):
    """(images, ranked by, orders, percent, recorded) from `start` to `end` for the first target, nonsense elsewhere."""
    array = np.full((4, 2, 2, len(PERCENT), 2), 99.0)
    array[:, 0, :, 0, 0], array[:, 0, :, -1, 0] = np.array(start)[:, None], np.array(end)[:, None]
    return array


def captions(store, **changed):
    axes = {"ranked_by": [], "order": ["mif", "lif"], "percent": PERCENT, "recorded": []}
    mine = declared([Column("mine", table="correctness")], [Curve("my_curve", axes, title="in grey")])
    arrays = {"fidelity_pixel": curves([4, 6, 5, 5], [1, 3, 2, 2]), **changed}
    for estimator in ("cdam", "gradcam"):
        write_cell(store, estimator, SCORES, curves=arrays, metrics=mine)
    (comparison,) = read_comparisons(store)
    texts = {table.name: caption(table) for table in make_tables(comparison)}
    return texts | {"differences": differences_page(comparison, differences(comparison))}


def test_tables_with_fidelity_tell_the_means_at_both_ends_and_others_do_not(tmp_path):
    texts = captions(tmp_path)
    told = "At 100 % perturbation the target's mean logit is 2.00, unperturbed 5.00: 40 % is left."
    assert told in texts["correctness"]
    assert told in texts["differences"]
    assert "perturbation" not in texts["compactness"]


def test_metrics_that_leave_different_amounts_are_told_apart(tmp_path):
    text = captions(tmp_path, my_curve=curves([5] * 4, [0.5] * 4))["correctness"]
    assert "At 100 % perturbation (fidelity, ranked by pixel) the target's mean logit is 2.00" in text
    assert "At 100 % perturbation (in grey) the target's mean logit is 0.50, unperturbed 5.00: 10 % is left." in text


def test_by_pixel_and_by_patch_have_the_same_ends_and_one_sentence(tmp_path):
    same = curves([4, 6, 5, 5], [1, 3, 2, 2])
    assert captions(tmp_path, fidelity_patch=same)["correctness"].count("perturbation") == 1


def test_of_a_logit_that_is_negative_to_begin_with_no_share_is_told(tmp_path):
    text = captions(tmp_path, fidelity_pixel=curves([-1] * 4, [-2] * 4))["correctness"]
    assert "the target's mean logit is −2.00, unperturbed −1.00." in text
