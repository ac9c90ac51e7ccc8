"""How a column of a table becomes numbers: as it is, by its categories, or by what a date says.

What was decided on the training rows is a ``Column``, plain enough for JSON, so that other rows
become numbers in the same way.

Importing this module imports pyarrow: do so only when a file must be read.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MISSING, OTHER = "", "(other)"  # categories of what is missing, and of what is rare or new
_DAY = 86_400_000_000  # in microseconds
_WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Column(NamedTuple):
    """What a column is called, what it holds, and what its numbers are.

    - ``number``: the value; ``fill`` stands for a missing one, and with ``indicator`` a second
      feature is 1 where it does.
    - ``category``: 1 for each of the ``levels``, which leave a ``baseline`` out.
    - ``days``: the days since the date ``since``, with ``fill`` and ``indicator``.
    - ``parts``: the year, and 1 for each month and each day of the week; the hour too, where
      ``levels`` says so.

    ``form`` is how dates are written, where looking at a few of them would not tell.
    """

    name: str
    kind: str
    fill: float | None = None
    indicator: bool = False
    levels: tuple[str, ...] = ()
    baseline: str | None = None
    since: str | None = None
    form: str | None = None


def each(function: Callable, *parts) -> list:
    """``function`` of every column, some at a time: NumPy and pyarrow let other threads work."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, *parts))


def features(column: Column) -> tuple[str, ...]:
    """The names of the features that a column becomes."""
    name = column.name
    if column.kind == "category":
        said = {MISSING: f"{name} is missing"}
        return tuple(said.get(level, f"{name} = {level}") for level in column.levels)
    if column.kind == "parts":
        months = (f"{name} month {month}" for month in range(1, 13))
        return (
            f"{name} year",
            *months,
            *(f"{name} {day}" for day in _WEEK),
            *(f"{name} {part}" for part in column.levels),
        )
    own = name if column.kind == "number" else f"{name} (days since {column.since})"
    return (own, f"{name} is missing") if column.indicator else (own,)


def numbers(column: Column, values: pa.ChunkedArray) -> np.ndarray:
    """The features of a column (n, width) in float64, NaN where a number is missing."""
    if column.kind == "category":
        return _one_hot(column, values)
    if column.kind == "parts":
        return _parts(column, values)
    found = plain(values) if column.kind == "number" else _days(column.since, values)
    missing = np.isnan(found)
    if missing.any() and column.fill is not None:
        found = np.where(missing, column.fill, found)
    return np.column_stack([found, missing]) if column.indicator else found[:, None]


def plain(values: pa.ChunkedArray) -> np.ndarray:
    """Numbers, or true and false, as float64 (n,), NaN where they are missing."""
    if not pa.types.is_floating(values.type):
        values = pc.cast(values, pa.float64(), safe=False)
    return values.to_numpy().astype(np.float64, copy=False)


def is_missing(values: pa.ChunkedArray) -> np.ndarray:
    """The rows (n,) in which a column has no value."""
    if pa.types.is_string(values.type):
        return pc.equal(pc.fill_null(values, MISSING), MISSING).to_numpy()
    return pc.is_null(values, nan_is_null=True).to_numpy()


def unknown(column: Column, values: pa.ChunkedArray) -> list[str]:
    """The categories that were not among the training rows, and are counted with no other."""
    if column.kind != "category" or OTHER in column.levels:
        return []
    known = {*column.levels, column.baseline}
    return [word for word in pc.unique(_words(values)).to_pylist() if word not in known]


def earliest(values: pa.ChunkedArray) -> str | None:
    """The day of the first of all moments, from which days are counted."""
    first = pc.min(values).as_py()
    return None if first is None else first.date().isoformat()


def _words(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(pc.cast(values, pa.string()), MISSING)


def levels(column: Column) -> list[str]:
    """All categories, that without a feature first."""
    return [*([] if column.baseline is None else [column.baseline]), *column.levels]


def places(column: Column, values: pa.ChunkedArray) -> np.ndarray:
    """The category (n,) of every row, as its place among ``levels``; -1 where it is of none."""
    among = levels(column)
    place = pc.index_in(_words(values), pa.array(among, pa.string()))
    return pc.fill_null(place, among.index(OTHER) if OTHER in among else -1).to_numpy()


def _one_hot(column: Column, values: pa.ChunkedArray) -> np.ndarray:
    among = np.arange(len(levels(column)))[-len(column.levels) :]
    return (places(column, values)[:, None] == among).astype(np.float64)


def _days(since: str, values: pa.ChunkedArray) -> np.ndarray:
    moments = pc.cast(values, pa.timestamp("us"))
    origin = np.datetime64(since, "us").astype(np.int64)
    micros = pc.subtract(pc.cast(moments, pa.int64()), origin)
    return pc.divide(pc.cast(micros, pa.float64()), float(_DAY)).to_numpy()


def _parts(column: Column, values: pa.ChunkedArray) -> np.ndarray:
    missing = pc.is_null(values).to_numpy()
    parts = [pc.year(values)]
    parts += [pc.equal(pc.month(values), month) for month in range(1, 13)]
    parts += [pc.equal(pc.day_of_week(values), day) for day in range(7)]
    parts += [pc.hour(values)] if column.levels else []
    found = np.column_stack([pc.cast(part, pa.float64()).to_numpy() for part in parts])
    return np.where(missing[:, None], np.nan, found)
