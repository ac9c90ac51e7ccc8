"""The cells of a text file as a matrix of features and a target, or what is amiss with them.

Features must be numbers, a target may be words.

Importing this module imports pyarrow: do so only when a file must be read.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jaxlinear.data import delimited
from jaxlinear.data.delimited import Dialect, in_row
from jaxlinear.data.single_precision import double, single

# What programs write for a missing number; in a column of words these are ordinary words.
_MISSING = {"", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "nil", "missing", "?", "-", "."}
_NUMBER = re.compile(r"[-+]?((\d+\.?\d*|\.\d+)(e[-+]?\d+)?|inf(inity)?)", re.ASCII | re.IGNORECASE)
_WHOLE = re.compile(r"[-+]?\d+")
# The name that pandas gives to row numbers, which predict any target that a file is sorted by.
_ROW_NUMBERS = re.compile(r"(Unnamed: \d+(_level_\d+)?)?")
# 1,5 or 1.234,50 or 1 000 or $3 or 12%: a number for people, not for ``float``.
_WRITTEN_FOR_PEOPLE = re.compile(r"[-+(]?[$€£¥]?\s?\d[\d.,'\s]*\s?[%€$£¥)]?")
_DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}([ T].*)?")


class Columns(NamedTuple):
    """The features x (n, d), their names, and the target y (n,): numbers, booleans or text."""

    x: np.ndarray
    features: tuple[str, ...]
    y: np.ndarray


def read(path: Path, target: str | None, dtype: np.dtype, dialect: Dialect) -> Columns:
    """Read ``path``; ``target`` is the column of y, every other column is a feature.

    Raises ValueError that names the file, the column and, where it can, the row.
    """
    table = delimited.read(path, dialect)
    header = table.schema.names
    if target not in header or len(header) < 2:
        raise ValueError(
            f"{path}: got target {target!r} and the columns {header}; expected the name of one "
            "column as target, other columns as features, and names in the first row, with a "
            "separator that can be told (or --sep, in Python separator=)."
        )
    _require_names(header, path)
    features = tuple(name for name in header if name != target)
    _require_meant(table, features, path)
    y = _target(table[target], f"{path}: column {target!r}")
    return Columns(_matrix(table, features, path, dtype), features, y)


def read_features(path: Path, features: tuple[str, ...], dialect: Dialect) -> np.ndarray:
    """Read the columns ``features`` of ``path`` as float64 (n, d). Raises ValueError."""
    table = delimited.read(path, dialect)
    header = table.schema.names
    missing = [name for name in features if name not in header]
    if missing or not features:
        raise ValueError(
            f"{path}: got the columns {header}, expected the features of the model, "
            f"{list(features)}; {f'{missing} are missing' if missing else 'it has no names'}."
        )
    _require_names(header, path)
    return _matrix(table, features, path, np.float64)


def _require_names(header: list[str], path: Path) -> None:
    double = sorted({name for name in header if header.count(name) > 1})
    if double:
        raise ValueError(
            f"{path}: got the columns {header}, {double} more than once; expected no name twice, "
            "and names in the first row."
        )
    numbers = [name for name in header if _is_number(name)]
    if len(numbers) == len(header) or (numbers and not _count(numbers)):
        raise ValueError(
            f"{path}: got {numbers[:5]} among the names {header[:20]}; expected names in the first "
            "row: numbers look like an example, which would be lost; write a line of names above."
        )


def _count(numbers: list[str]) -> bool:
    """Whether the names are consecutive numbers: 0, 1, 2, … for pixels of an image, or years."""
    whole = all(re.fullmatch(r"\d+", name) for name in numbers)
    return whole and len(numbers) > 1 and set(np.diff([int(name) for name in numbers])) == {1}


def _require_meant(table: pa.Table, features: tuple[str, ...], path: Path) -> None:
    """Refuse row numbers that a program wrote: in a sorted file they predict the target."""
    for place, name in enumerate(table.schema.names, start=1):
        counts = name.lower() == "index" and _counts_rows(table[name])
        if name in features and (_ROW_NUMBERS.fullmatch(name) or counts):
            raise ValueError(
                f"{path}: column {place} of {len(table.schema.names)}, "
                f"{name!r}, {'counts the rows' if counts else 'has no name of its own'}; expected "
                "columns that are meant as features: leave it out (pandas: to_csv(index=False)), "
                "or give it a name."
            )


def _counts_rows(column: pa.ChunkedArray) -> bool:
    values = _cast(column, pa.float64())
    return values is not None and bool((np.diff(values) == 1).all())


def _matrix(table: pa.Table, features: tuple[str, ...], path: Path, dtype) -> np.ndarray:
    x = np.empty((table.num_rows, len(features)), dtype)
    for index, name in enumerate(features):
        x[:, index] = _numbers(table[name], f"{path}: column {name!r}", dtype)
    return x


def _numbers(column: pa.ChunkedArray, where: str, dtype) -> np.ndarray:
    """A column of numbers or true/false, or ValueError at its first entry that is neither."""
    values = _cast(column, pa.float64())
    if values is None:
        values = _cast(column, pa.bool_())
    if values is None or np.isnan(values).any():
        _require_no_dates(column, where)
        text = column.to_pylist()
        row = next((row for row, value in enumerate(text) if not _is_number(value)), 0)
        if text[row].lower() in _MISSING:
            raise _missing(text, _MISSING, where)
        raise ValueError(
            f"{where} is {text[row]!r} {in_row(row)}, expected numbers{_written(text[row])}; "
            "leave the column out, or write each category as a column of 0 and 1."
        )
    values = double(_finite(values.astype(np.float64), where), lambda: _distinct(column), where)
    return _finite(single(values, where), where) if dtype == np.float32 else values


def _target(column: pa.ChunkedArray, where: str) -> np.ndarray:
    """Numbers where all entries are numbers, booleans likewise, else the text as it stands."""
    values = _cast(column, pa.float64())
    if values is not None and not np.isnan(values).any():
        return _number_target(column, values, where)
    words = pc.unique(column).to_pylist()
    numbers = [word for word in words if _is_number(word)]
    others = [word for word in words if not _is_number(word)]
    if numbers and all(word.lower() in _MISSING for word in others):
        raise _missing(column.to_pylist(), _MISSING, where)
    if "" in others:
        raise _missing(column.to_pylist(), {""}, where)
    if not numbers and {word.lower() for word in others} <= {"true", "false"}:
        return _cast(column, pa.bool_())
    _require_no_dates(column, where)
    fractions = any(not _WHOLE.fullmatch(word) for word in numbers)
    if fractions or len(numbers) > len(others) or all(map(_WRITTEN_FOR_PEOPLE.fullmatch, others)):
        raise ValueError(
            f"{where} is {others[0]!r} {in_row(pc.index(column, others[0]).as_py())}, expected "
            f"numbers{_written(others[0])}, or words for classes."
        )
    return np.array(column.to_pylist(), dtype=str)


def _number_target(column: pa.ChunkedArray, values: np.ndarray, where: str) -> np.ndarray:
    if pc.any(pc.match_substring_regex(column, "^[-+]?0[0-9]+$")).as_py():  # codes: 01 is not 1
        return np.array(column.to_pylist(), dtype=str)
    if pc.all(pc.match_substring_regex(column, "^-?[0-9]+$")).as_py():
        whole = _cast(column, pa.int64())
        if whole is not None:
            return whole
    values = double(_finite(values, where), lambda: _distinct(column), where)
    return _finite(single(values, where), where)


def _distinct(column: pa.ChunkedArray) -> int:
    return pc.count_distinct(column).as_py()


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> np.ndarray | None:
    """The values of a column of text, or None where one of them is not of this kind."""
    try:
        return pc.cast(column, kind).to_numpy()
    except pa.ArrowInvalid:
        return None


def _is_number(text: str) -> bool:
    """Whether a cell is a number. So is inf, which ``_finite`` refuses later; nan is not."""
    return bool(_NUMBER.fullmatch(text))


def _written(text: str) -> str:
    return " written as 1234.5" if _WRITTEN_FOR_PEOPLE.fullmatch(text) else ""


def _require_no_dates(column: pa.ChunkedArray, where: str) -> None:
    if all(map(_DATE.fullmatch, pc.unique(column).to_pylist())):
        raise ValueError(
            f"{where} holds dates, such as {column[0].as_py()!r} {in_row(0)}, expected numbers; "
            "write the days since one of them, or leave the column out."
        )


def _missing(text: list[str], words: set[str], where: str) -> ValueError:
    rows = [row for row, value in enumerate(text) if value.lower() in words]
    written = f" (written {text[rows[0]]!r})" if text[rows[0]] else ""
    return ValueError(
        f"{where} is missing {in_row(rows[0])}{written}, and in {len(rows)} of {len(text)} rows; "
        "expected a value in each: fill them in, or drop the rows or the column."
    )


def _finite(column: np.ndarray, where: str) -> np.ndarray:
    if not np.isfinite(column).all():
        row = int(np.argmin(np.isfinite(column)))
        raise ValueError(
            f"{where} is {column[row]} {in_row(row)}, expected finite float32 numbers; scale the "
            "column or drop the row."
        )
    return column
