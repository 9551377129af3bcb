"""The log of a training: a row of numbers every few steps, and none twice when a killed run goes on."""

import csv
from pathlib import Path

LOG_FIELDS = ("step", "loss", "learning_rate", "seconds", "cpu_seconds")  # cpu_seconds: of all cores together


class TrainingLog:
    """log.csv of a training.

    Args:
        path: of the file.
        step: that the training goes on from; what a killed run wrote after it is cut, and 0 starts the log anew.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        rows = []
        if path.exists() and step > 0:
            with path.open(newline="") as file:
                rows = [row for row in csv.reader(file) if row and row[0] != "step" and int(row[0]) <= step]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([LOG_FIELDS, *rows])

    def append(self, step: int, loss: float, learning_rate: float, seconds: float, cpu_seconds: float) -> None:
        """Add a row."""
        row = (step, f"{loss:.4f}", f"{learning_rate:.3e}", f"{seconds:.0f}", f"{cpu_seconds:.0f}")
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow(row)


def last_row(path: Path) -> dict[str, float]:
    """The end of a log, by column."""
    with path.open(newline="") as file:
        *_, row = csv.DictReader(file)
    return {name: float(value) for name, value in row.items()}
