"""Columns stand where their metrics say, whoever wrote the metric."""

import numpy as np

from cdam_bench.reporting.agreement import agreements
from cdam_bench.reporting.comparisons import read_comparisons
from cdam_bench.reporting.dots import score_figure
from cdam_bench.reporting.formats import caption, to_markdown
from cdam_bench.reporting.layout import headlines, layout, notes_of
from cdam_bench.reporting.means import make_tables
from cdam_bench.reporting.paired import differences
from cdam_bench.store.columns import Column
from tests.reporting.stores import declared, write_cell

RAMP = np.arange(8.0)
MINE = (
    Column("mine", "my score", "apples", "low", 3, table="correctness", note="Of my own making.", place=-1),
    Column("mine_too", table="tried", title="Things tried", aspect="localisation", better="high"),
    Column("neither", "neither good nor bad", table="tried"),
)
SCORES = {"A_LIF-MIF": RAMP, "mine": RAMP / 3, "mine_too": RAMP, "neither": RAMP, "unheard_of": RAMP}


def read(store, scores=SCORES):
    for shift, estimator in enumerate(("cdam", "gradcam", "my_method")):
        shifted = {name: values + shift for name, values in scores.items()}
        write_cell(store, estimator, shifted, metrics=declared(MINE))
    return read_comparisons(store)[0]


def test_a_column_stands_in_the_table_and_at_the_place_that_its_metric_says(tmp_path):
    names = {table: [column.name for column in columns] for table, columns in layout(read(tmp_path)).items()}
    assert names == {
        "correctness": ["mine", "A_LIF-MIF"],
        "tried": ["mine_too", "neither"],
        "further_scores": ["unheard_of"],
    }


def test_label_unit_decimals_note_and_title_are_the_metrics_own(tmp_path):
    correctness, tried, further = make_tables(read(tmp_path))
    assert (correctness.title, tried.title, further.title) == ("Correctness", "Things tried", "Further scores")
    assert "| Estimator | my score ↓ | A_LIF−MIF ↑ |" in to_markdown(correctness)
    assert "1.167 [" in to_markdown(correctness)
    assert "my score in apples" in caption(correctness)
    assert "Of my own making." in caption(correctness)


def test_a_new_score_gets_paired_tests_agreement_and_a_panel(tmp_path):
    comparison = read(tmp_path)
    assert [d.column.name for d in differences(comparison).found][:3] == ["mine", "A_LIF-MIF", "mine_too"]
    (agreement,) = agreements(comparison).pairs
    assert (agreement.first.name, agreement.second.name) == ("A_LIF-MIF", "mine_too")
    titles = [axes.get_title(loc="left") for axes in score_figure(comparison).axes if axes.get_visible()]
    assert titles == ["my score ←", "A_LIF−MIF →", "mine_too →"]


def test_headlines_come_metric_by_metric(tmp_path):
    scores = dict.fromkeys(("A_box", "A_LIF-MIF_patch", "A_LIF-MIF", "A_MIF"), RAMP)
    found = headlines(read(tmp_path, scores), "faithfulness")
    assert [column.name for column in found] == ["A_LIF-MIF", "A_LIF-MIF_patch", "A_box"]


def test_what_is_about_targets_or_other_targets_maps_is_no_further_score(tmp_path):
    hidden = (
        "target_index",
        "other_index",
        "target3_index",
        "target3_logit",
        "wrong_A_MIF",
        "other_mine",
        "target3_mine",
    )
    scores = dict.fromkeys(("mine", *hidden), RAMP)
    assert set(layout(read(tmp_path, scores))) == {"correctness"}


def test_a_note_is_told_once():
    notes = [Column(str(i), note=note) for i, note in enumerate(("One.", "Two.", "One.", "", "One. By patch."))]
    assert notes_of(notes) == ["Two.", "One. By patch."]
