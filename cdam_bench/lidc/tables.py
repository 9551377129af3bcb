"""Tables of LIDC: how well fine-tuned backbones do, beside the paper's numbers."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from cdam_bench.errors import UserError
from cdam_bench.reporting.markdown import markdown_rows
from cdam_bench.store.files import fingerprint, write_atomically

Card = dict[str, Any]
SCORES = {"malignancy": ("accuracy", "auc"), "biomarkers": ("mse", "r2")}
HEADINGS = {"accuracy": "accuracy ↑", "auc": "AUC ↑", "mse": "MSE ↓", "r2": "R² ↑"}


@dataclass(frozen=True)
class Row:
    """A backbone with one setting, on all folds it was trained on.

    Args:
        data, task, backbone, split: what.
        setting: the recipe's values that differ between the rows' candidates, in words.
        candidates: settings that were tried, of which this one was best on the validation nodules.
        folds: names.
        scores: score → (folds,) values on the test nodules.
    """

    data: str
    task: str
    backbone: str
    split: str
    setting: str
    candidates: int
    folds: list[str]
    scores: dict[str, np.ndarray]


def read_cards(folder: Path) -> list[Card]:
    """Cards that `cdam-bench train lidc` left.

    Raises:
        UserError: for a damaged one.
    """
    cards = []
    for path in sorted(folder.glob("*.json")):
        try:
            cards.append(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise UserError(f"{path} is damaged: delete it and run `cdam-bench train lidc` again") from error
    return cards


def finetuning_rows(cards: Iterable[Card]) -> list[Row]:
    """For each data set, task, backbone and split the setting that was best on the validation nodules.

    Settings are compared by the mean over their folds; only those trained on the most folds take part.
    """
    groups: dict[tuple[str, ...], dict[str, list[Card]]] = {}
    for card in cards:
        split = "paper, single" if card["fold"] == "single" else card["split"]
        setting = {name: value for name, value in card["recipe"].items() if name != "fold"}
        key = (card["data"], card["task"], card["backbone"], split)
        groups.setdefault(key, {}).setdefault(fingerprint(setting), []).append(card)
    return [_best(key, list(settings.values())) for key, settings in sorted(groups.items())]


def _best(key: tuple[str, ...], settings: list[list[Card]]) -> Row:
    data, task, backbone, split = key
    first = SCORES[task][0]
    sign = -1 if first == "mse" else 1
    most = max(map(len, settings))
    candidates = [cards for cards in settings if len(cards) == most]
    best = max(candidates, key=lambda cards: sign * np.mean([card["scores"]["validation"][first] for card in cards]))
    best = sorted(best, key=lambda card: str(card["fold"]))
    scores = {name: np.array([card["scores"]["test"][name] for card in best]) for name in SCORES[task]}
    recipe = best[0]["recipe"]
    setting = f"{recipe['trainable_layers']} tensors, dropout {recipe['dropout']}, batch {recipe['batch_size']}"
    folds = [str(card["fold"]) for card in best]
    return Row(data, task, backbone, split, setting, len(candidates), folds, scores)


def paper_numbers() -> dict[tuple[str, str, str], str]:
    """(task, backbone, score) → number as printed. Source: Brocki et al. 2024, LIDC-IDRI."""
    text = files("cdam_bench.lidc").joinpath("paper.csv").read_text(encoding="utf-8")
    return {(row["task"], row["backbone"], row["score"]): row["value"] for row in csv.DictReader(io.StringIO(text))}


def finetuning_markdown(rows: list[Row]) -> str:
    """A table for each data set and task."""
    paper, parts = paper_numbers(), []
    for data, task in dict.fromkeys((row.data, row.task) for row in rows):
        own = [row for row in rows if (row.data, row.task) == (data, task)]
        names = SCORES[task]
        heading = ["backbone", "split", "setting", "folds"]
        for name in names:
            heading += [HEADINGS[name], "paper"] if data == "lidc" and name in ("accuracy", "mse") else [HEADINGS[name]]
        lines = [heading, ["---"] * 4 + ["---:"] * (len(heading) - 4)]
        for row in own:
            line = [row.backbone, row.split, _setting(row), ", ".join(row.folds)]
            for name in names:
                line.append(_over_folds(row.scores[name]))
                if data == "lidc" and name in ("accuracy", "mse"):
                    line.append(paper.get((task, row.backbone, name), "–"))
            lines.append(line)
        note = (
            "Test nodules, the middle slice, mean over three views of the output; mean over folds [lowest, highest fold]. Of "
            "several settings the one with the best validation score. split=paper: nodules of one patient can be on both sides."
        )
        if task == "biomarkers":
            note += " MSE of biomarkers standardised on the training nodules, mean over the eight."
        table = markdown_rows(lines)
        parts.append(f"## {data}: {task}, fine-tuned\n\n{note}\n\n{table}\n")
    return "\n".join(parts)


def _setting(row: Row) -> str:
    return f"{row.setting} (best of {row.candidates})" if row.candidates > 1 else row.setting


def _over_folds(values: np.ndarray) -> str:
    spread = f" [{values.min():.3f}, {values.max():.3f}]" if len(values) > 1 else ""
    return f"{values.mean():.3f}{spread}".replace("-", "−")


def finetuning_csv(rows: list[Row]) -> str:
    """One line per row, score and fold, for machines."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["data", "task", "backbone", "split", "setting", "candidates", "fold", "score", "value"])
    for row in rows:
        for name, values in row.scores.items():
            for fold, value in zip(row.folds, values, strict=True):
                start = [row.data, row.task, row.backbone, row.split, row.setting, row.candidates]
                writer.writerow([*start, fold, name, f"{value:.6g}"])
    return buffer.getvalue()


def write_finetuning(results_dir: Path, output_dir: Path) -> list[Path]:
    """Write lidc/finetuning.{md,csv} if backbones were fine-tuned.

    Args:
        results_dir: the store; the cards are in its folder lidc/.
        output_dir: created if need be.
    Returns:
        The files written; the Markdown one is meant to be shown.
    """
    rows = finetuning_rows(read_cards(results_dir / "lidc"))
    if not rows:
        return []
    contents = {"finetuning.md": finetuning_markdown(rows), "finetuning.csv": finetuning_csv(rows)}
    for name, content in contents.items():
        write_atomically(output_dir / "lidc" / name, content.encode())
    return [output_dir / "lidc" / name for name in contents]
