"""What differs between two runs: identical, rounding, noise and significant are told apart; what cannot be paired is said."""

import csv
import io

import numpy as np
import pytest
from scipy import stats

from cdam_bench.errors import UserError
from cdam_bench.reporting.sharing.changes import DIFFERENT, IDENTICAL, ROUNDED, SIGNIFICANT, changes
from cdam_bench.reporting.sharing.changes_page import changes_csv, changes_page
from cdam_bench.reporting.sharing.exported import write_export
from cdam_bench.reporting.sharing.sources import cells_of, comparisons_of
from tests.reporting.stores import SETTINGS, write_cell

COUNT = 12
VALUES = np.random.default_rng(0).normal(50, 20, COUNT)
NOISE = np.array([1.0, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6])
SHIFTED = VALUES + np.linspace(1, 2, COUNT)


def run(folder, scores, estimators=("cdam",), **options):
    for estimator in estimators:
        write_cell(folder, estimator, scores, **options)
    return folder


def compared(old, new):
    return changes(cells_of(old, "a"), cells_of(new, "b"))


def kinds(found, estimator="cdam"):
    return {change.column.name: change.kind for change in found.found if change.key.estimator == estimator}


def of(found, score):
    (change,) = (change for change in found.found if change.column.name == score and change.key.estimator)
    return change


def test_identical_rounding_noise_and_significant_are_told_apart(tmp_path):
    old = run(tmp_path / "old", dict.fromkeys(("A_MIF", "A_LIF", "A_box", "mean_r"), VALUES))
    new = {"A_MIF": VALUES, "A_LIF": VALUES * (1 + 1e-6 * np.sign(NOISE)), "A_box": VALUES + NOISE, "mean_r": SHIFTED}
    found = compared(old, run(tmp_path / "new", new))
    assert kinds(found) == {"A_MIF": IDENTICAL, "A_LIF": ROUNDED, "A_box": DIFFERENT, "mean_r": SIGNIFICANT}
    assert found.any_significant


def test_nothing_is_tested_where_two_runs_are_one(tmp_path):
    folder = run(tmp_path / "run", {"A_MIF": VALUES, "A_LIF": np.full(COUNT, np.nan)})
    found = compared(folder, folder)
    assert set(kinds(found).values()) == {IDENTICAL}
    assert (found.family.tests, found.any_significant) == (0, False)


def test_a_run_agrees_with_its_exported_file_to_the_last_digit(tmp_path):
    folder = run(tmp_path / "run", {"A_MIF": VALUES / 3}, targets=2, names=("zebra", "lion"))
    write_export(comparisons_of(folder, "a"), tmp_path / "scores.parquet")
    assert set(kinds(compared(folder, tmp_path / "scores.parquet")).values()) == {IDENTICAL}


def test_rounding_of_a_difference_of_large_numbers_is_judged_by_their_typical_size(tmp_path):
    small = np.append(VALUES[:-1], 1e-9)
    old = run(tmp_path / "old", {"A_LIF-MIF": small})
    assert kinds(compared(old, run(tmp_path / "near", {"A_LIF-MIF": small + 1e-7}))) == {"A_LIF-MIF": ROUNDED}
    assert kinds(compared(old, run(tmp_path / "far", {"A_LIF-MIF": small + 1e-2}))) == {"A_LIF-MIF": SIGNIFICANT}


def test_tests_are_paired_and_holm_corrected_over_all_scores_and_cells_that_differ(tmp_path):
    estimators = ("cdam", "gradcam", "rise")
    old = run(tmp_path / "old", {"A_MIF": VALUES, "A_box": VALUES, "mean_r": VALUES}, estimators)
    new = run(tmp_path / "new", {"A_MIF": VALUES + NOISE, "A_box": SHIFTED, "mean_r": VALUES}, estimators)
    found = compared(old, new)
    assert found.family.tests == 6  # two scores of three cells
    exact = stats.permutation_test(
        (SHIFTED - VALUES, np.zeros(COUNT)), lambda a, b: np.mean(a - b), permutation_type="samples"
    )
    assert exact.pvalue == pytest.approx(2 / 2**COUNT)
    p_values = {(change.key.estimator, change.column.name): change.p_value for change in found.found if change.p_value}
    assert p_values["rise", "A_box"] == pytest.approx(6 * exact.pvalue)
    assert p_values["rise", "A_MIF"] == 1
    change = next(change for change in found.found if change.column.name == "A_box")
    assert change.difference.mean == pytest.approx((SHIFTED - VALUES).mean())
    assert (change.old, change.new) == pytest.approx((VALUES.mean(), SHIFTED.mean()))


def test_few_images_are_said_to_be_too_few(tmp_path):
    old, new = (run(tmp_path / name, {"A_MIF": values[:4]}) for name, values in {"old": VALUES, "new": SHIFTED}.items())
    found = compared(old, new)
    assert not found.any_significant
    assert "4 images are too few for any of 1 tests to be significant" in changes_page(found, "old", "new")


@pytest.mark.parametrize("key", ["seed", "image_size"])
def test_images_of_another_dataset_are_not_paired(key, tmp_path):
    old, new = (
        run(tmp_path / str(value), {"A_MIF": values}, settings={"dataset": {**SETTINGS["dataset"], key: value}})
        for value, values in ((1, VALUES), (2, SHIFTED))
    )
    found = compared(old, new)
    assert found.found == []
    text = changes_page(found, "old", "new")
    assert f"* not compared: digits · digits_vit · cdam: other images (dataset.{key}: 1 → 2)" in text


def test_runs_of_other_lengths_are_compared_on_the_images_of_both(tmp_path):
    old = run(tmp_path / "old", {"A_MIF": VALUES})
    shorter = {**SETTINGS["dataset"], "num_images": 6}
    new = run(tmp_path / "new", {"A_MIF": VALUES[:6]}, settings={"dataset": shorter})
    found = compared(old, new)
    assert kinds(found) == {"A_MIF": IDENTICAL}
    assert "6 images in both, of 12 and 6" in changes_page(found, "old", "new")
    partial = compared(old, run(tmp_path / "partial", {"A_MIF": VALUES}, done=4))
    assert kinds(partial) == {"A_MIF": IDENTICAL}
    assert "not finished: new" in changes_page(partial, "old", "new")


def test_images_explained_for_another_target_are_left_out(tmp_path):
    old = run(tmp_path / "old", {"A_MIF": VALUES}, names=("zebra",))
    new = run(tmp_path / "new", {"A_MIF": np.append(VALUES[:-1], 1e6)}, names=("zebra",))
    file = new / "cells" / "digits" / "digits_vit" / "cdam" / "scores.csv"
    *lines, last = file.read_text().splitlines()
    file.write_text("\n".join([*lines, last.replace("zebra", "lion")]) + "\n")
    found = compared(old, new)
    assert kinds(found) == {"A_MIF": IDENTICAL}
    assert "1 images left out, as their targets are others" in changes_page(found, "old", "new")
    file.write_text(file.read_text().replace("zebra", "tiger"))
    assert "other targets on all 12 images" in changes_page(compared(old, new), "old", "new")


def test_scores_of_a_metric_that_was_set_otherwise_are_not_compared(tmp_path):
    scores = {"A_MIF": VALUES, "wrong_A_MIF": VALUES, "other_A_MIF": VALUES, "A_box": VALUES}
    changed = {name: SHIFTED if "MIF" in name else values for name, values in scores.items()}
    old = run(tmp_path / "old", scores)
    found = compared(old, run(tmp_path / "new", changed, settings={"metric": {"fidelity": {"steps": 5}}}))
    assert kinds(found) == {"A_box": IDENTICAL}
    text = changes_page(found, "old", "new")
    assert "`metric.fidelity.steps: 2 → 5` (digits · digits_vit · cdam)" in text
    assert "3 scores not compared, as fidelity is set otherwise" in text


def test_settings_and_versions_that_changed_are_listed_once_with_their_cells(tmp_path):
    estimators = ("cdam", "gradcam")
    old = run(tmp_path / "old", {"A_MIF": VALUES}, estimators)
    backbone = {"architecture": "tiny", "checkpoint": {"sha256": "123"}, "head": None}
    versions = {"cdam_bench": "0.3.0", "torch": "2.0"}
    new = run(tmp_path / "new", {"A_MIF": VALUES}, estimators, settings={"backbone": backbone}, versions=versions)
    text = changes_page(compared(old, new), "old", "new")
    assert "* `versions.cdam_bench: 0.2.0 → 0.3.0` (all cells)" in text
    assert "* `backbone.checkpoint.sha256: unset → 123` (all cells)" in text
    assert "torch" not in text


def test_a_score_that_is_no_longer_defined_is_significant(tmp_path):
    old = run(tmp_path / "old", {"mean_r": VALUES})
    found = compared(old, run(tmp_path / "new", {"mean_r": np.append(np.full(COUNT - 1, np.nan), VALUES[-1])}))
    assert kinds(found) == {"mean_r": DIFFERENT, "mean_r is defined": SIGNIFICANT}
    assert of(found, "mean_r is defined").difference.mean == pytest.approx(-(COUNT - 1) / COUNT)


def test_outputs_of_the_backbone_are_compared_once(tmp_path):
    estimators = ("cdam", "gradcam")
    old, new = (run(tmp_path / name, {"A_MIF": VALUES}, estimators, names=("zebra",)) for name in ("old", "new"))
    for file in new.glob("cells/*/*/*/scores.csv"):
        file.write_text(file.read_text().replace(",2.0,", ",3.0,"))
    found = compared(old, new)
    (outputs,) = (change for change in found.found if not change.key.estimator)
    assert (outputs.column.name, outputs.kind, outputs.old, outputs.new) == ("target_logit", SIGNIFICANT, 2, 3)
    assert found.family.tests == 1
    assert "| digits · digits_vit · outputs of the backbone | target_logit | 2.00 | 3.00 |" in changes_page(
        found, "a", "b"
    )


def test_better_and_worse_follow_the_good_direction(tmp_path):
    old = run(tmp_path / "old", {"A_MIF": VALUES, "A_LIF": VALUES})
    found = compared(old, run(tmp_path / "new", {"A_MIF": SHIFTED, "A_LIF": SHIFTED}))
    rows = [line for line in changes_page(found, "old", "new").splitlines() if "· CDAM |" in line]
    assert {row.split("|")[2].strip(): row.split("|")[7].strip() for row in rows} == {
        "A_MIF ↓": "worse",
        "A_LIF ↑": "better",
    }


def test_cells_of_one_run_alone_are_listed_and_runs_without_a_common_cell_are_refused(tmp_path):
    old = run(tmp_path / "old", {"A_MIF": VALUES}, ("cdam", "gradcam"))
    new = run(tmp_path / "new", {"A_MIF": VALUES}, ("cdam", "rise", "legrad"))
    text = changes_page(compared(old, new), "old", "new")
    assert "* in the old one alone: digits · digits_vit: gradcam" in text
    assert "* in the new one alone: digits · digits_vit: legrad, rise" in text
    with pytest.raises(UserError, match=r"no cell is in both; one has digits · digits_vit · cdam and 1 others"):
        compared(old, run(tmp_path / "other", {"A_MIF": VALUES}, dataset="scenes"))


def test_the_csv_has_every_score_of_every_cell(tmp_path):
    old = run(tmp_path / "old", {"A_MIF": VALUES, "A_box": VALUES})
    found = compared(old, run(tmp_path / "new", {"A_MIF": VALUES, "A_box": SHIFTED}))
    lines = {line["score"]: line for line in csv.DictReader(io.StringIO(changes_csv(found)))}
    assert (lines["A_MIF"]["change"], lines["A_MIF"]["p_holm"]) == (IDENTICAL, "")
    assert float(lines["A_box"]["difference"]) == pytest.approx((SHIFTED - VALUES).mean())
    assert float(lines["A_box"]["p_holm"]) == pytest.approx(2 / 2**COUNT, rel=1e-6)
    assert (lines["A_box"]["n"], lines["A_box"]["tests"]) == ("12", "1")
