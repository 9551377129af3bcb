"""Every number on the page is the one that pandas and scipy find in scores.csv, curves.npz and cell.yaml."""

import csv
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import binomtest, bootstrap, permutation_test, spearmanr, t

from tests.reporting.page.pages import COUNT, SCORES, fill, page_of
from tests.reporting.stores import write_cell

FINISHED = ("cdam", "attention_map", "gradcam")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def shown(store):
    page, problems = page_of(store)
    assert problems == []
    (comparison,) = page["comparisons"]
    return comparison


@pytest.fixture(scope="module")
def frames(store):
    folder = store / "cells" / "digits" / "digits_vit"
    return {name: pd.read_csv(folder / name / "scores.csv") for name in FINISHED}


def entries(shown):
    """(estimator, score, entry) of every number in the tables."""
    for table in shown["tables"]:
        for row in table["rows"]:
            for score, entry in zip(table["columns"], row["entries"], strict=True):
                yield row["estimator"], score, entry


def test_every_mean_and_count_of_the_tables_is_that_of_the_csv(shown, frames):
    seen = set()
    for estimator, score, entry in entries(shown):
        if estimator in frames:
            values = frames[estimator][score]
            assert entry["mean"] == pytest.approx(values.mean(), rel=1e-6)
            assert (entry["n"], entry["missing"]) == (values.count(), values.isna().sum())
            seen.add((estimator, score))
    assert seen == {(estimator, score) for estimator in FINISHED for score in SCORES}


def test_every_interval_is_scipys_bootstrap_or_wilsons(shown, frames):
    for estimator, score, entry in entries(shown):
        if estimator not in frames:
            continue
        values = frames[estimator][score].dropna().to_numpy()
        if score == "pointing_game":
            exact = binomtest(int(values.sum()), len(values)).proportion_ci(0.95, "wilson")
            assert (entry["low"], entry["high"]) == pytest.approx((exact.low, exact.high), rel=1e-6)
        else:
            drawn = bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=0).confidence_interval
            slack = 0.08 * (drawn.high - drawn.low)
            assert (entry["low"], entry["high"]) == pytest.approx((drawn.low, drawn.high), abs=slack)


def holm(p_values):
    """Holm 1979, step by step."""
    ordered = pd.Series(p_values).sort_values()
    steps = ordered * np.arange(len(ordered), 0, -1)
    return steps.cummax().clip(upper=1).sort_index().to_numpy()


def test_rankings_are_in_the_order_of_the_means_and_tied_by_exact_paired_tests_corrected_over_all_scores(shown, frames):
    directed = [score for score in SCORES if score != "compactness"]
    means = {score: {name: frame[score].mean() for name, frame in frames.items()} for score in directed}
    pairs, alone = [], []
    for score in directed:
        best = max(means[score], key=means[score].get)
        for other in (name for name in FINISHED if name != best):
            gaps = (frames[best][score] - frames[other][score]).dropna().to_numpy()
            test = permutation_test((gaps,), np.mean, permutation_type="samples", n_resamples=np.inf)
            pairs.append((score, other))
            alone.append(test.pvalue)
    expected = dict(zip(pairs, holm(alone), strict=True))
    assert {ranking["score"] for ranking in shown["rankings"]} < set(directed)
    for ranking in shown["rankings"]:
        score, rows = ranking["score"], ranking["rows"]
        order = sorted(FINISHED, key=lambda name: -means[score][name])
        assert [row["estimator"] for row in rows] == [*order, "smoothgrad"]
        assert ranking["best"] == order[0]
        assert f"all {len(alone)} tests" in ranking["words"]
        assert (rows[0]["p"], rows[0]["tied"]) == (None, True)
        assert (rows[-1]["p"], rows[-1]["tied"], rows[-1]["complete"]) == (None, None, False)
        for row in rows[1:-1]:
            assert row["p"] == pytest.approx(expected[score, row["estimator"]], rel=1e-6)
            assert row["tied"] == (row["p"] > 0.05)
        assert rows[0]["best"] == all(not row["tied"] for row in rows[1:-1])
        for row in rows[:-1]:
            assert row["mean"] == pytest.approx(means[score][row["estimator"]], rel=1e-6)


def test_scores_of_single_images_are_the_rows_of_the_csv(shown, frames):
    images = shown["images"]
    assert images["names"] == list(frames["cdam"]["image"])
    assert images["note"] == ""
    assert images["targets"] == frames["cdam"][["target", "other"]].astype(str).to_numpy().tolist()
    for name, frame in frames.items():
        for score in (*SCORES, "target_logit"):
            found = np.array(images["scores"][name][score], dtype=float)
            np.testing.assert_allclose(found, frame[score], rtol=1e-4)
    unfinished = images["scores"]["smoothgrad"]["A_box"]
    assert [value is None for value in unfinished] == [False] * 4 + [True] * (COUNT - 4)


def test_curves_are_means_over_images_of_the_stored_ones(store, shown):
    folder = store / "cells" / "digits" / "digits_vit"
    curves = {curve["name"]: curve for curve in shown["curves"]}
    assert set(curves) == {"fidelity_pixel", "fidelity_patch", "box_r"}
    for name in FINISHED:
        stored = np.load(folder / name / "curves.npz")
        of_boxes = stored["box_r"][..., 0].mean(0)  # (maps, sizes), of the first target's output
        of_patches = stored["fidelity_patch"][..., 0].mean(0)  # (maps, orders, percent)
        for own in (0, 1):
            (found,) = curves["box_r"]["bands"][name][own]
            np.testing.assert_allclose(found["mean"], of_boxes[own], rtol=1e-4)
            for order in (0, 1):
                band = curves["fidelity_patch"]["bands"][name][own][order]
                np.testing.assert_allclose(band["mean"], of_patches[own, order], rtol=1e-4)
                points = stored["fidelity_patch"][:, own, order, 1, 0]
                drawn = bootstrap((points,), np.mean, n_resamples=4000, method="percentile", rng=0).confidence_interval
                slack = 0.08 * (drawn.high - drawn.low)
                assert (band["low"][1], band["high"][1]) == pytest.approx((drawn.low, drawn.high), abs=slack)


def test_costs_are_those_the_cells_kept_and_the_front_is_what_nothing_beats(shown, frames):
    (cost,) = shown["cost"]
    points = {point["estimator"]: point for point in cost["points"]}
    assert {name: point["cost"] for name, point in points.items()} == {
        "cdam": 0.3,
        "attention_map": 0.2,
        "gradcam": 0.1,
    }
    means = {name: frame[cost["score"]].mean() for name, frame in frames.items()}
    for name, point in points.items():
        assert point["mean"] == pytest.approx(means[name], rel=1e-6)
        beaten = [other for other in FINISHED if points[other]["cost"] < point["cost"] and means[other] >= means[name]]
        assert point["front"] == (not beaten)


def test_agreement_is_spearmans_of_the_means_over_methods(shown, frames):
    found = shown["agreement"]
    assert {(pair["first"], pair["second"]) for pair in found["pairs"]} == {
        (row, column) for row in found["rows"] for column in found["columns"]
    }
    for pair in found["pairs"]:
        first, second = ([frame[pair[end]].mean() for frame in frames.values()] for end in ("first", "second"))
        assert pair["of_means"]["mean"] == pytest.approx(spearmanr(first, second).statistic, abs=1e-6)


def test_what_was_run_is_what_the_cells_say(store, shown):
    for cell in shown["cells"]:
        file = store / "cells" / "digits" / "digits_vit" / cell["estimator"] / "cell.yaml"
        about = yaml.safe_load(file.read_text())
        assert cell["versions"] == about["versions"]
        assert cell["device"] == about["device"]
        assert cell["complete"] == about["complete"]
        assert cell["settings"] == about["identity"]["estimator"]
    assert shown["settings"]["dataset.num_images"] == "8"
    assert shown["settings"]["seed"] == "0"
    assert shown["headline"]["images"] == f"{COUNT} or 4 of {COUNT}"
    assert "estimator._target_" not in shown["settings"]


def test_the_papers_numbers_stand_beside_ours_with_the_difference_and_its_t_test(tmp_path):
    rng = np.random.default_rng(0)
    for estimator, mean in (("cdam", 1300), ("attention_map", 400)):
        scores = {"A_LIF-MIF": rng.normal(mean, 300, 30)}
        write_cell(tmp_path, estimator, scores, "imagenet_multi", "dino_vits8", curves=())
    page, _ = page_of(tmp_path)
    (comparison,) = page["comparisons"]
    with files("cdam_bench.reporting").joinpath("paper_tables.csv").open(newline="") as file:
        printed = {row["estimator"]: row for row in csv.DictReader(file) if row["dataset"] == "imagenet_multi"}
    alone, rows = [], {row["estimator"]: row for row in comparison["paper"]["rows"]}
    for estimator, row in rows.items():
        frame = pd.read_csv(tmp_path / "cells" / "imagenet_multi" / "dino_vits8" / estimator / "scores.csv")
        values, paper = frame["A_LIF-MIF"], float(printed[estimator]["A_LIF-MIF"])
        assert row["difference"] == pytest.approx(values.mean() - paper, rel=1e-5)
        error = values.std() * np.sqrt(1 / len(values) + 1 / 1000)
        alone.append(2 * t.sf(max(0, abs(values.mean() - paper) - 0.5) / error, len(values) - 1))
    assert [row["p"] for row in rows.values()] == pytest.approx(holm(alone), rel=1e-5)
    (table,) = comparison["tables"]
    for row in table["rows"]:
        assert row["entries"][0]["paper"] == printed[row["estimator"]]["A_LIF-MIF"]
        assert row["entries"][0]["difference"] == rows[row["estimator"]]["difference"]


def test_outputs_that_are_quantities_have_a_table_per_score_and_no_rankings(tmp_path):
    own, other = np.arange(6.0), np.arange(6.0) + 10
    scores = {"A_box": own, "other_A_box": other}
    write_cell(tmp_path, "cdam", scores, targets=2, names=("size", "texture"), outputs="quantities")
    page, _ = page_of(tmp_path)
    (comparison,) = page["comparisons"]
    assert (comparison["rankings"], comparison["tables"], comparison["curves"], comparison["cost"]) == ([], [], [], [])
    (table,) = comparison["text_tables"]
    assert table["heading"] == ["Estimator", "size", "texture"]
    assert [cell.partition(" ")[0] for cell in table["rows"][0]] == ["CDAM", "2.50", "12.50"]


def test_notes_tell_of_unfinished_cells_unknown_scores_few_images_and_open_choices(shown):
    notes = {note["kind"]: note["text"] for note in shown["notes"]}
    assert notes["partial"] == f"Not finished, and in no test: SmoothGrad (4 of {COUNT} images)."
    assert "CDAM mean r 1, Attention map mean r 1, SmoothGrad mean r 1, GradCAM mean r 1" in notes["undefined"]
    assert notes["few"] == "With 4 images bootstrap intervals are narrower than they should be."
    assert "the blur (σ)" in notes["choices"]
    assert "noise level" in notes["choices"]
