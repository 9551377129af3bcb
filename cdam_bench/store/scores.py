"""scores.csv: a row per image, written from chunks and read back."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cdam_bench.errors import UserError
from cdam_bench.store.chunks import EXPLAINING, IMAGE, INFO, SCORE, SECONDS, Arrays

if TYPE_CHECKING:
    import pandas as pd

TEXT_COLUMN = re.compile(r"image|other|target\d*")


def scores_table(arrays: Arrays) -> "pd.DataFrame":
    """One row per image: its name, its targets and every score."""
    import pandas as pd  # half a second that `status` does not need

    columns: dict[str, np.ndarray] = {"image": arrays[IMAGE]}
    for name, values in arrays.items():
        if name.startswith(INFO) and name not in (IMAGE, SECONDS, EXPLAINING):
            columns[name.removeprefix(INFO)] = values
    for name, values in arrays.items():
        if name.startswith(SCORE):
            columns[name.removeprefix(SCORE)] = values
    return pd.DataFrame(columns)


def read_scores(path: Path) -> "pd.DataFrame":
    """scores.csv; names are text, also where they look like numbers or like "NA". (pandas' reader takes five times as long.)

    Raises:
        UserError: if it is damaged.
    """
    import pandas as pd

    try:
        with path.open(newline="", encoding="utf-8") as file:
            heading, *rows = csv.reader(file)
        columns = zip(*rows, strict=True) if rows else [()] * len(heading)
        return pd.DataFrame({name: _read_column(name, values) for name, values in zip(heading, columns, strict=True)})
    except (ValueError, csv.Error) as error:
        raise damaged(path) from error


def damaged(path: Path) -> UserError:
    """What is said of a file of a finished cell that cannot be read, or lacks images."""
    return UserError(f"{path} is damaged: run its cell again with overwrite=true")


def _read_column(name: str, texts: Sequence[str]) -> list[str] | np.ndarray:
    if TEXT_COLUMN.fullmatch(name):
        return list(texts)
    try:
        if "" in texts:  # what is not defined for an image
            texts = [text or "nan" for text in texts]
        return np.array(list(map(float, texts)))
    except ValueError:
        return list(texts)
