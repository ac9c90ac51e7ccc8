"""The features of the rows of a table, by columns of which it is decided what becomes of them.

Importing this module imports pyarrow: do so only when a file must be read.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jaxlinear.data import columns, written
from jaxlinear.data.columns import Column
from jaxlinear.data.delimited import Reading
from jaxlinear.data.problems import Problem, in_row, refuse
from jaxlinear.data.single_precision import single


class Coding(NamedTuple):
    """The columns that are features, and those that were left out, with the reasons."""

    columns: tuple[Column, ...]
    left_out: Mapping[str, str] = {}


def names(coding: Coding) -> tuple[str, ...]:
    """The names of all features."""
    return tuple(name for column in coding.columns for name in columns.features(column))


def matrix(reading: Reading, coding: Coding, rows, path: Path, dtype=np.float64) -> np.ndarray:
    """The features x (n, d) of the ``rows``, a mask, or of all where it is None.

    Raises ValueError where float32 cannot tell different numbers apart.
    """
    count = reading.columns.num_rows if rows is None else int(rows.sum())
    widths = [len(columns.features(column)) for column in coding.columns]
    x = np.empty((count, sum(widths)), dtype)

    def fill(column: Column, end: int, width: int) -> None:
        values = columns.numbers(column, reading.columns[column.name])
        values = values if rows is None else values[rows]
        if dtype == np.float32 and column.kind in ("number", "days"):
            values = _rounded(values, f"{path}: column {column.name!r}")
        x[:, end - width : end] = values

    columns.each(fill, coding.columns, itertools.accumulate(widths), widths)
    return x


def require_kinds(reading: Reading, coding: Coding, path: Path) -> None:
    """Raise ``TableError`` for columns of other rows that are not what they were in training."""
    problems = []
    for column in coding.columns:
        values = reading.columns[column.name]
        of_dates, is_dates = column.kind in ("days", "parts"), pa.types.is_timestamp(values.type)
        empty = values.null_count == len(values)
        if column.kind == "category" or empty:
            continue
        if is_dates != of_dates or pa.types.is_string(values.type):
            _, row = written.numbers_among(pc.cast(values, pa.string()), reading.missing)
            expected = "expected dates" if of_dates else "expected numbers"
            word = values[max(row, 0)].as_py()
            problems.append(Problem(column.name, max(row, 0), f"is {str(word)!r}", expected))
        elif column.kind == "number" and np.isinf(found := columns.plain(values)).any():
            row = int(np.isinf(found).argmax())
            problems.append(Problem(column.name, row, "is inf", "expected finite numbers"))
    refuse(path, problems, reading.header)


def _rounded(values: np.ndarray, where: str) -> np.ndarray:
    """The first feature as float32; the second, if any, is of 0 and 1."""
    rounded = single(values[:, 0], where)
    if not np.isfinite(rounded).all():
        row = int(np.argmin(np.isfinite(rounded)))
        raise ValueError(
            f"{where} is {rounded[row]} {in_row(row)} in float32, expected finite numbers; choose "
            "another unit."
        )
    return np.column_stack([rounded, values[:, 1:]])
