"""A user's own data as a ``Batch``: arrays of NumPy, or a table with a column for the target."""

import os
from pathlib import Path

import numpy as np

from jaxlinear.data import arrays
from jaxlinear.data.arrays import Table
from jaxlinear.types import Batch

_ARRAYS = {".npz": arrays.load_npz, ".npy": arrays.load_npy}


def load(
    path: str | os.PathLike,
    target: str | None = None,
    *,
    dtype=np.float32,
    separator: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    header: bool = True,
    na: tuple[str, ...] = (),
    missing: str = "error",
    dates: str = "error",
    categorical: tuple[str, ...] = (),
    drop: tuple[str, ...] = (),
) -> Table:
    """Load examples from ``path``, whose suffix tells the format.

    - ``.npz``: arrays x (n, d) and y (n,) or (n, k); also weight (n,), x_test, y_test.
    - ``.npy``: x alone; ``target`` is the path of the .npy file that holds y.
    - ``.csv``, ``.tsv``, ``.txt``, these with ``.gz``, ``.parquet``, ``.arrow``, ``.feather``: an
      example per row; ``target`` is the column of y, every other a feature, but those of ``drop``.

    Unless given, the ``separator`` (, ; | or a tab) and the ``decimal`` mark of a text file are
    found, and the ``encoding`` is UTF-8, or UTF-16 by its mark. Without a ``header`` the columns
    are "1", "2", …. Numbers may be written for people: "1,234.5", 12 %, $3.

    uint8 and floating x of NumPy's files keep their dtype, other numbers become ``dtype``:
    ``numpy.float64`` keeps what float32 cannot tell apart, such as seconds since 1970, which is
    refused otherwise. A y of integers becomes int32; text or booleans become labels, which index
    ``names``; other numbers in a table become float32; y (n, 1) becomes (n,).

    A feature of a table must be a number or true/false in every row, unless it is told what to do:
    ``missing`` values ("drop" the row, "mean", "median", or the mean and an "indicator"), ``dates``
    ("days" since the first, or "parts": year, month, day of the week, hour), ``categorical``
    columns (a feature of 0 and 1 for every category). What is filled in is of all rows: cross
    validation that is strict splits first, as ``jaxlinear train`` does. NA, null, nan and the like,
    and the words of ``na``, mean a missing number. In a target or a category of words these are
    words, and only an empty entry is missing; "NA" in quotes is a word everywhere. Labels such as
    01 are words.

    Raises FileNotFoundError, and ValueError that names the place of text among the features,
    a missing or infinite value, an unknown, nameless or repeated column, numbers in the place of
    names, an empty, damaged or ragged file, another encoding than UTF-8, pickled objects, and
    arrays that do not fit each other: of a table's columns all that is wrong, at once.
    """
    dtype = _floating(dtype)
    path = Path(path)
    if path.suffix in _ARRAYS:
        arrays.require_file(path)
        return _ARRAYS[path.suffix](path, target, dtype)
    read, dialect = _table_reader(path, separator, decimal, encoding, na, header)
    from jaxlinear.data import coding, features
    from jaxlinear.data import target as targets

    reading = read(path, dialect, {target or "", *categorical})
    names = features_of(reading, (target,), drop, path)
    choices = coding.Choices(missing, dates, tuple(categorical))
    y, present = targets.values(reading, target, path)
    if missing == "error":
        targets.require_present(present, target, reading, path)
    rows = present & coding.present(reading, names if missing == "drop" else ())
    code = coding.decide(reading, names, rows, choices, path)
    x = features.matrix(reading, code, rows, path, dtype)
    y, classes = arrays.encode(y[rows], f"{path}: column {target!r}")
    return Table(Batch(x, y), None, classes, features.names(code))


def load_features(
    path: str | os.PathLike,
    features: tuple[str, ...] = (),
    *,
    separator: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    header: bool = True,
    na: tuple[str, ...] = (),
) -> np.ndarray:
    """Load x (n, d) alone, to predict with: .npz with an array x, .npy, or a table.

    Of a table the columns ``features`` are taken, in that order, whatever else it holds; they must
    be numbers. Bytes and floating x keep their dtype; all else becomes float64, since a few rows do
    not tell whether float32 would do. Arguments and errors are those of ``load``.
    """
    path = Path(path)
    if path.suffix in _ARRAYS:
        return arrays.features(path)
    read, dialect = _table_reader(path, separator, decimal, encoding, na, header)
    from jaxlinear.data import coding
    from jaxlinear.data.features import matrix

    reading = read(path, dialect)
    require_columns(reading, features, path)
    rows = np.ones(reading.columns.num_rows, bool)
    code = coding.decide(reading, features, rows, coding.Choices(), path)
    return matrix(reading, code, None, path)


def features_of(
    reading, target: tuple[str | None, ...], drop: tuple[str, ...], path: Path
) -> list[str]:
    """The columns that are neither target nor dropped; ValueError where a name is unknown."""
    header = reading.columns.schema.names
    unknown = [name for name in target if name not in header]
    if unknown or len(header) < 2:
        got = unknown[0] if unknown else target[0]
        raise ValueError(
            f"{path}: got target {got!r} and the columns {header}; expected the name of one "
            "column as target, other columns as features, and names in the first row, with a "
            "separator that can be told (or --sep, in Python separator=)."
        )
    unknown = [name for name in drop if name not in header]
    if unknown:
        raise ValueError(f"{path}: got --drop {unknown[0]} and the columns {header}.")
    return [name for name in header if name not in target and name not in drop]


def require_columns(reading, features: tuple[str, ...], path: Path) -> None:
    """Raise ValueError unless a table has all the columns ``features``."""
    header = reading.columns.schema.names
    missing = [name for name in features if name not in header]
    if missing or not features:
        raise ValueError(
            f"{path}: got the columns {header}, expected the features of the model, "
            f"{list(features)}; {f'{missing} are missing' if missing else 'it has no names'}."
        )


def is_table(path: str | os.PathLike) -> bool:
    """Whether a file is a table of named columns, by its name."""
    from jaxlinear.data import tables  # loads pyarrow

    return tables.is_table(Path(path))


def _table_reader(path: Path, separator, decimal, encoding, na, header):
    from jaxlinear.data import delimited, tables  # load pyarrow

    if not tables.is_table(path):
        expected = [*_ARRAYS, *tables.KINDS]
        raise ValueError(f"{path}: got a file of type {path.suffix!r}, expected {expected}.")
    arrays.require_file(path)
    return tables.read, delimited.Dialect(separator, decimal, encoding, tuple(na), header)


def _floating(dtype) -> np.dtype:
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"got dtype {np.dtype(dtype)}, expected numpy.float32 or numpy.float64.")
    return np.dtype(dtype)
