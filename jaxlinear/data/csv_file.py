"""Read a .csv file with a header into a matrix of features and a target, or say what is amiss.

Importing this module imports pyarrow: do so only when a .csv file must be read.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv


class Columns(NamedTuple):
    """The features x, float32 (n, d), their names, and the target y (n,): numbers or text."""

    x: np.ndarray
    features: tuple[str, ...]
    y: np.ndarray


def read(path: Path, target: str | None) -> Columns:
    """Read ``path``; ``target`` is the column of y, every other column is a feature.

    Raises ValueError that names the file, the column and, where it can, the row.
    """
    table, header = _parse(path)
    if target not in header or len(header) < 2 or len(set(header)) < len(header):
        raise ValueError(
            f"{path}: got target {target!r} and the columns {header}; expected the name of one "
            "column as target, other columns as features, no name twice, and names in the first "
            "row, separated by commas."
        )
    if table.num_rows == 0:
        raise ValueError(f"{path} has a header but no rows, expected one example per row.")
    features = tuple(name for name in header if name != target)
    y = _target(table[target], f"{path}: column {target!r}")
    return Columns(_matrix(table, features, path), features, y)


def read_features(path: Path, features: tuple[str, ...]) -> np.ndarray:
    """Read the columns ``features`` of ``path`` as float32 (n, d). Raises ValueError."""
    table, header = _parse(path)
    missing = [name for name in features if name not in header]
    if missing or not features:
        raise ValueError(
            f"{path}: got the columns {header}, expected the features of the model, "
            f"{list(features)}; {f'{missing} are missing' if missing else 'it has no names'}."
        )
    if table.num_rows == 0:
        raise ValueError(f"{path} has a header but no rows, expected one example per row.")
    return _matrix(table, features, path)


def _matrix(table: pa.Table, features: tuple[str, ...], path: Path) -> np.ndarray:
    x = np.empty((table.num_rows, len(features)), np.float32)
    for index, name in enumerate(features):
        x[:, index] = _numbers(table[name], f"{path}: column {name!r}")
    return x


def _parse(path: Path) -> tuple[pa.Table, list[str]]:
    """The table and its header, whose names are decoded only when they are asked for."""
    try:
        table = csv.read_csv(
            path,
            read_options=csv.ReadOptions(use_threads=False),  # else errors lack the row
            convert_options=csv.ConvertOptions(strings_can_be_null=True),
        )
        return table, table.schema.names
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is not a table ({error}); expected UTF-8 text, a header, and rows with as "
            "many values as the header has names."
        ) from error


def _numbers(column: pa.ChunkedArray, where: str) -> np.ndarray:
    """A column as float32, or ValueError at its first entry that is missing or no number."""
    if pa.types.is_string(column.type):
        values = column.to_pylist()
        row = next((row for row, value in enumerate(values) if not _is_number(value)), 0)
        value = values[row]
        raise ValueError(
            f"{where} is {'missing' if value is None else repr(value)} {_in_row(row)}, expected "
            "numbers; leave the column out, or write each category as a column of 0 and 1."
        )
    if not _is_numeric(column.type) and column.type != pa.null():
        raise ValueError(f"{where} holds {column.type}, expected numbers; convert or leave it out.")
    _require_present(column, where)
    with np.errstate(over="ignore"):  # an overflow is reported as inf, with its row
        return _finite(column.to_numpy().astype(np.float32), where)


def _target(column: pa.ChunkedArray, where: str) -> np.ndarray:
    _require_present(column, where)
    if pa.types.is_string(column.type):
        return np.array(column.to_pylist(), dtype=str)
    if not _is_numeric(column.type):
        raise ValueError(f"{where} holds {column.type}, expected numbers, text or true/false.")
    y = column.to_numpy()
    return _finite(y.astype(np.float32), where) if y.dtype.kind == "f" else y


def _is_numeric(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def _is_number(text: str | None) -> bool:
    try:
        float(text or "missing")
    except ValueError:
        return False
    return True


def _require_present(column: pa.ChunkedArray, where: str) -> None:
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise ValueError(
            f"{where} is missing {_in_row(row)}, and in {column.null_count} of {len(column)} rows; "
            "expected a value in each: fill them in, or drop the rows or the column."
        )


def _finite(column: np.ndarray, where: str) -> np.ndarray:
    if not np.isfinite(column).all():
        row = int(np.argmin(np.isfinite(column)))
        raise ValueError(
            f"{where} is {column[row]} {_in_row(row)}, expected finite float32 numbers; scale the "
            "column or drop the row."
        )
    return column


def _in_row(row: int) -> str:
    """Rows as pyarrow and spreadsheets count them."""
    return f"in row {row + 2} (the header is row 1)"
