"""Tables of fine-tuned backbones, from hand-made cards."""

import json

import pytest

from cdam_bench.errors import UserError
from cdam_bench.lidc.tables import finetuning_csv, finetuning_markdown, finetuning_rows, read_cards, write_finetuning


def card(fold, validation, test, dropout=0.0, task="malignancy", backbone="deit_vitb16", data="lidc"):
    names = ("accuracy", "auc") if task == "malignancy" else ("mse", "r2")
    recipe = {"fold": fold, "trainable_layers": 50, "dropout": dropout, "batch_size": 16}
    scores = {"validation": dict.fromkeys(names, validation), "test": dict.fromkeys(names, test)}
    start = {"data": data, "task": task, "backbone": backbone, "split": "paper", "fold": fold}
    return start | {"recipe": recipe, "scores": scores}


def test_the_setting_is_chosen_by_validation_and_reported_by_test():
    cards = [card(fold, 0.8, 0.99, dropout=0.0) for fold in range(2)]
    cards += [card(0, 0.9, 0.7, dropout=0.1), card(1, 0.9, 0.8, dropout=0.1)]
    (row,) = finetuning_rows(cards)
    assert row.scores["accuracy"].tolist() == [0.7, 0.8]
    assert row.candidates == 2
    text = finetuning_markdown([row])
    assert (
        "| deit_vitb16 | paper | 50 tensors, dropout 0.1, batch 16 (best of 2) | 0, 1 | 0.750 [0.700, 0.800] | 0.896 |"
        in text
    )


def test_of_errors_the_lowest_is_best():
    cards = [card(0, 0.5, 1.0, 0.0, "biomarkers"), card(0, 0.4, 2.0, 0.1, "biomarkers")]
    (row,) = finetuning_rows(cards)
    assert row.scores["mse"].tolist() == [2.0]
    assert "| 2.000 | 0.409 |" in finetuning_markdown([row])


def test_a_setting_with_fewer_folds_takes_no_part():
    cards = [card(0, 0.8, 0.8), card(1, 0.8, 0.9), card(0, 0.99, 0.99, dropout=0.1)]
    (row,) = finetuning_rows(cards)
    assert row.folds == ["0", "1"]


def test_phantoms_have_no_paper_beside_them():
    text = finetuning_markdown(finetuning_rows([card(0, 0.9, 0.9, data="phantom"), card(0, 0.9, 0.9)]))
    phantom = text[text.index("## phantom") :]
    assert "paper |" not in phantom.split("\n")[4]
    assert "0.896" not in phantom


def test_csv_has_a_line_per_fold_and_score():
    lines = finetuning_csv(finetuning_rows([card(0, 0.8, 0.75), card(1, 0.8, 0.5)])).splitlines()
    assert len(lines) == 1 + 4
    assert lines[1].endswith(",0,accuracy,0.75")


def test_a_damaged_card_is_named(tmp_path):
    (tmp_path / "good.json").write_text(json.dumps(card(0, 0.8, 0.8)))
    assert len(read_cards(tmp_path)) == 1
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(UserError, match=r"bad.json is damaged"):
        read_cards(tmp_path)


def test_tables_are_written_where_backbones_were_fine_tuned_and_only_there(tmp_path):
    assert write_finetuning(tmp_path / "results", tmp_path / "tables") == []
    assert not (tmp_path / "tables").exists()
    (tmp_path / "results" / "lidc").mkdir(parents=True)
    (tmp_path / "results" / "lidc" / "one.json").write_text(json.dumps(card(0, 0.8, 0.75)))
    written = write_finetuning(tmp_path / "results", tmp_path / "tables")
    assert [path.name for path in written] == ["finetuning.md", "finetuning.csv"]
    assert "0.750" in written[0].read_text()
