"""Exported scores: all per-image scores of a results folder in one Parquet or CSV file, with the settings they belong to.

A row per (dataset, backbone, estimator, image), a column per score. What else the tables need (settings, versions, what the metrics
declare, the ends of the curves) is JSON: in the Parquet file's metadata under "cdam_bench", or beside the CSV file. So tables and
rankings can be made from the file alone; they are the same, byte for byte, as numbers are kept in full.
"""

import csv
import io
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv

from cdam_bench.errors import UserError, require
from cdam_bench.reporting.comparisons import Comparison
from cdam_bench.reporting.remaining import AXIS, whole_curves
from cdam_bench.reporting.sharing.meanings import KEYS, meanings
from cdam_bench.store.cells import FORMAT, CellKey
from cdam_bench.store.chunks import Arrays
from cdam_bench.store.columns import Curve, Declared
from cdam_bench.store.files import write_atomically
from cdam_bench.store.results import CellResult

PARQUET, CSV = SUFFIXES = (".parquet", ".csv")
EXPORT_FORMAT = 1
METADATA = b"cdam_bench"
ABOUT = (
    "Per-image scores of cdam_bench: a row per dataset, backbone, estimator and image. What is not measured is empty."
)
TYPES = {pa.string(): "text", pa.float64(): "number", pa.int32(): "whole number", pa.bool_(): "true or false"}


@dataclass(frozen=True)
class ExportedCell(CellResult):
    """A cell as an exported file has it.

    Args:
        known_ends: name of a curve → its means at 0 and 100 %; nothing else is known of the curves.
    """

    known_ends: dict[str, tuple[float, float]] = field(default_factory=dict)

    def curves(self) -> tuple[Arrays, dict[str, Any]]:
        """There are none.

        Raises:
            UserError: always.
        """
        raise UserError(f"{self.path} has scores but no curves: use the results folder it was exported from")

    def ends(self, curves: Any, axis: str) -> dict[str, tuple[float, float]]:
        """As of any cell, of the axis "percent"; nothing of other ones."""
        wanted: list[Curve] = list(curves)
        return {one.name: self.known_ends[one.name] for one in wanted if axis == AXIS and one.name in self.known_ends}


def write_export(comparisons: list[Comparison], path: Path) -> list[Path]:
    """Write the scores of all cells, unfinished ones too.

    Args:
        comparisons: from `read_comparisons`.
        path: ending in .parquet or .csv; replaced if it is there.
    Returns:
        The files written.
    Raises:
        UserError: for another ending.
    """
    _require_suffix(path)
    table = _table(comparisons)
    about = _about(comparisons, table)
    if path.suffix == PARQUET:
        write_atomically(path, _parquet(table, json.dumps(about, ensure_ascii=False, default=str)))
        return [path]
    write_atomically(path, _csv_text(table).encode())
    write_atomically(_beside(path), json.dumps(about, ensure_ascii=False, indent=1, default=str).encode())
    return [path, _beside(path)]


def _parquet(table: pa.Table, about: str) -> bytes:
    """The file: where values repeat a dictionary is smallest, of other numbers the bytes are compressed place by place."""
    repeating = {one.name for one in table.schema if len(table[one.name].unique()) * 4 < len(table)}
    numbers = [one.name for one in table.schema if one.type == pa.float64() and one.name not in repeating]
    buffer = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata({METADATA: about.encode()}),
        buffer,
        compression="zstd",
        use_dictionary=[name for name in table.column_names if name not in numbers],
        use_byte_stream_split=numbers,
    )
    return buffer.getvalue()


def _require_suffix(path: Path) -> None:
    require(path.suffix in SUFFIXES, f"{path}: must end in {' or '.join(SUFFIXES)}")


def _beside(path: Path) -> Path:
    """Where the JSON of a CSV file is."""
    return path.with_suffix(".json")


def _table(comparisons: list[Comparison]) -> pa.Table:
    """Rows: comparison by comparison, cell by cell, image by image."""
    cells = [(comparison, cell) for comparison in comparisons for cell in comparison.cells]
    names = dict.fromkeys(str(name) for _, cell in cells for name in cell.scores if name != "image")
    clash = [name for name in names if name in KEYS]
    require(not clash, f"a metric's column is named {', '.join(clash)}, as a column of the exported file: rename it")
    columns: dict[str, pa.Array] = {}
    for name in KEYS:
        values = [_key(name, comparison, cell) for comparison, cell in cells]
        counts = [len(cell.scores) for _, cell in cells]
        repeated = [one for value, count in zip(values, counts, strict=True) for one in [value] * count]
        columns[name] = pa.array(repeated)
    columns["image"] = pa.array([str(name) for _, cell in cells for name in cell.scores["image"]])
    for name in names:
        columns[name] = _column(name, [cell for _, cell in cells])
    return pa.table(columns)


def _key(name: str, comparison: Comparison, cell: CellResult) -> str | bool:
    if name == "complete":
        return cell.is_complete
    return cell.key.estimator if name == "estimator" else str(getattr(comparison, name, ""))


def _column(name: str, cells: list[CellResult]) -> pa.Array:
    """A column of the cells' scores; null where a cell has none."""
    have = [cell.scores[name] for cell in cells if name in cell.scores]
    if any(one.dtype.kind not in "bif" for one in have):
        kind = pa.string()
    elif name.endswith("_index") and all((one == one.round()).all() for one in have):
        kind = pa.int32()
    else:
        kind = pa.float64()
    parts = []
    for cell in cells:
        if name not in cell.scores:
            parts.append(pa.nulls(len(cell.scores), kind))
        elif kind == pa.string():
            parts.append(pa.array([str(value) for value in cell.scores[name]], kind))
        else:
            numbers = cell.scores[name].astype("int32" if kind == pa.int32() else "float64")
            parts.append(pa.array(numbers.to_numpy(), kind))
    return pa.concat_arrays(parts)


def _about(comparisons: list[Comparison], table: pa.Table) -> dict[str, Any]:
    """Everything but the scores, as JSON."""
    words = meanings(comparisons, table.column_names)
    return {
        "format": EXPORT_FORMAT,
        "about": ABOUT,
        "columns": {one.name: {"type": TYPES[one.type], **words[one.name]} for one in table.schema},
        "comparisons": [_about_comparison(comparison) for comparison in comparisons],
    }


def _about_comparison(comparison: Comparison) -> dict[str, Any]:
    """Settings and what else the cells say; what all of them have in common stands once."""
    told = {cell.key: _told(cell) for cell in comparison.cells}
    first, *others = told.values()
    shared = {name: value for name, value in first.items() if all(one.get(name) == value for one in others)}
    shared.pop("ends", None)
    cells = {
        cell.key.estimator: {
            "settings": cell.description["identity"]["estimator"],
            **{name: value for name, value in told[cell.key].items() if name not in shared},
        }
        for cell in comparison.cells
    }
    names = {"dataset": comparison.dataset, "backbone": comparison.backbone, "variant": comparison.variant}
    return names | {"settings": comparison.settings, "in_common": shared, "estimators": cells}


def _told(cell: CellResult) -> dict[str, Any]:
    """What a cell says beside its settings: cell.yaml, the order of its columns, and the ends of its curves."""
    description = {name: value for name, value in cell.description.items() if name != "identity"}
    declared = Declared.of(description.get("metrics", {}))
    ends = cell.ends(whole_curves(declared, declared.curves), AXIS) if cell.is_complete else {}
    return description | {"format": FORMAT, "columns": [str(name) for name in cell.scores], "ends": ends}


def _csv_text(table: pa.Table) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(zip(*([_text(value) for value in column] for column in table.to_pydict().values()), strict=True))
    return buffer.getvalue()


def _text(value: Any) -> str:
    """A number in full: its shortest text that is read as the same number."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_export(path: Path) -> list[CellResult]:
    """The cells of a file that `write_export` wrote, as if read from the results folder.

    Raises:
        UserError: for a file that is none, is damaged, or of a later version.
    """
    _require_suffix(path)
    require(path.is_file(), f"{path}: there is no such file")
    about = _read_about(path)
    try:
        table = _read_csv(path, about) if path.suffix == CSV else pq.read_table(path)
        frame: Any = table.to_pandas()
        rows = frame.groupby(["dataset", "backbone", "estimator"], sort=False, observed=True)
        frames = {CellKey(*map(str, key)): own for key, own in rows}
        return [
            _cell(path, comparison, estimator, frames)
            for comparison in about["comparisons"]
            for estimator in comparison["estimators"]
        ]
    except (pa.ArrowException, KeyError, TypeError, ValueError, AttributeError) as error:
        raise _foreign(path, "is damaged") from error


def _read_about(path: Path) -> dict[str, Any]:
    """The JSON of a file."""
    try:
        if path.suffix == CSV:
            require(_beside(path).is_file(), f"{path}: its settings, {_beside(path).name}, are not beside it")
            content = _beside(path).read_bytes()
        else:
            content = (pq.read_schema(path).metadata or {})[METADATA]
        about = json.loads(content)
        version = about["format"]
    except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise _foreign(path, "is not what `cdam-bench export` writes") from error
    require(
        version == EXPORT_FORMAT,
        f"{path} was exported in format {version}, this version reads {EXPORT_FORMAT}: use a later one",
    )
    return about


def _foreign(path: Path, what: str) -> UserError:
    return UserError(f"{path} {what}: export it again with `cdam-bench export`")


def _read_csv(path: Path, about: dict[str, Any]) -> pa.Table:
    kinds = {name: kind for kind, name in TYPES.items()}
    types = {name: kinds[own["type"]] for name, own in about["columns"].items()}
    return arrow_csv.read_csv(
        path,
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=False),
    )


def _cell(path: Path, comparison: dict[str, Any], estimator: str, frames: dict[CellKey, Any]) -> ExportedCell:
    """One cell of the file."""
    key = CellKey(comparison["dataset"], comparison["backbone"], estimator)
    own = dict(comparison["estimators"][estimator])
    settings = {**comparison["settings"], "estimator": own.pop("settings")}
    description = comparison["in_common"] | own | {"identity": settings}
    _check_names(path, key, description)
    columns, ends = description.pop("columns"), description.pop("ends")
    scores = frames[key][columns].reset_index(drop=True)
    numbers = [name for name in columns if scores[name].dtype.kind in "bif"]
    scores = scores.astype(dict.fromkeys(numbers, "float64"))
    if description["complete"] and len(scores) != description["num_images"]:
        _lacking(path, key, len(scores), description["num_images"])
    known = {name: (start, end) for name, (start, end) in ends.items()}
    return ExportedCell(key, description, scores, description["num_images"], path, known)


def _check_names(path: Path, key: CellKey, description: dict[str, Any]) -> None:
    """Raise UserError for names that, as parts of a path, would lead out of an output folder: the file may be anybody's."""
    columns = Declared.of(description["metrics"]).columns.values()
    names = [key.dataset, key.backbone, key.estimator, *(column.table for own in columns for column in own)]
    for name in names:
        require(
            isinstance(name, str) and name == Path(name).name and not name.startswith("."),
            f"{path} has results named {name!r}, which is no name of a file: it is not read",
        )


def _lacking(path: Path, key: CellKey, found: int, expected: int) -> NoReturn:
    raise UserError(f"{path} has {found} of the {expected} images of {key}: export it again with `cdam-bench export`")
