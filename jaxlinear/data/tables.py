"""Tables of named columns, from text, parquet or Arrow files, with few types of columns.

A column is of whole numbers, fractions, true and false, moments in time, or text; null is missing.

Importing this module imports pyarrow: do so only when a file must be read.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jaxlinear.data import delimited
from jaxlinear.data.delimited import Dialect, Reading
from jaxlinear.data.problems import Problem, refuse
from jaxlinear.data.written import is_number

_TEXT = (".csv", ".tsv", ".txt")
_BINARY = (".parquet", ".arrow", ".feather")
KINDS = (*_TEXT, ".csv.gz", *_BINARY)


def is_table(path: Path) -> bool:
    """Whether the name of a file ends as those of tables do."""
    return path.name.removesuffix(".gz").endswith(_TEXT) or path.suffix in _BINARY


def read(
    path: Path, dialect: Dialect, words: Collection[str] = (), forms: Mapping[str, str] = {}
) -> Reading:
    """The columns of a table; arguments are those of ``delimited.read``.

    Raises ValueError for what is no table, for names that occur twice, for numbers in the place of
    names, and for columns of lists.
    """
    if path.suffix in _BINARY:
        reading = Reading(_read_binary(path))
    else:
        reading = delimited.read(path, dialect, words, forms)
    names = reading.columns.schema.names
    _require_names(names, reading.header, path)
    columns, problems = [], []
    for name, column in zip(names, reading.columns.columns, strict=True):
        simple = _simple(column, name in words)
        columns.append(column if simple is None else simple)
        if simple is None:
            mend = f"--drop {name} leaves it out"
            problems.append(Problem(name, None, f"holds {column.type}", mend))
    refuse(path, problems, reading.header)
    return reading._replace(columns=pa.table(columns, names=names))


def _read_binary(path: Path) -> pa.Table:
    from pyarrow import feather, parquet

    try:
        table = parquet.read_table(path) if path.suffix == ".parquet" else feather.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(
            f"{path} is damaged or no {path.suffix} file ({error}); expected what pandas, polars "
            "or pyarrow write."
        ) from error
    if 0 in table.shape:
        raise ValueError(f"{path} has {table.num_rows} rows and {table.num_columns} columns.")
    return table


def _simple(column: pa.ChunkedArray, as_text: bool) -> pa.ChunkedArray | None:
    """The column in one of the few types, or None where it is of none."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _simple(pc.cast(column, kind.value_type), as_text)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view():
        return pc.cast(column, pa.string())
    if as_text and (pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        return pc.cast(column, pa.string())
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind):
        return column
    if pa.types.is_null(kind) or pa.types.is_decimal(kind):
        return pc.cast(column, pa.float64())
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return pc.cast(column, pa.timestamp("us"), safe=False)  # of time zones: UTC
    if pa.types.is_time(kind):
        since_midnight = pc.cast(pc.cast(column, pa.time64("us")), pa.int64())
        return pc.divide(pc.cast(since_midnight, pa.float64()), 1e6)
    return None


def _require_names(names: list[str], header: bool, path: Path) -> None:
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise ValueError(
            f"{path}: got the columns {names[:20]}, {twice[:5]} more than once; expected no name "
            "twice, and names in the first row."
        )
    numbers = [name for name in names if is_number(name)] if header else []
    if (len(numbers) == len(names) and numbers) or (numbers and not _count(numbers)):
        raise ValueError(
            f"{path}: got {numbers[:5]} among the names {names[:20]}; expected names in the first "
            "row: numbers look like an example, which would be lost; write a line of names above, "
            "or say --no-header (in Python header=False)."
        )


def _count(numbers: list[str]) -> bool:
    """Whether the names are consecutive numbers: 0, 1, 2, … for pixels of an image, or years."""
    whole = all(re.fullmatch(r"\d+", name) for name in numbers)
    return whole and len(numbers) > 1 and set(np.diff([int(name) for name in numbers])) == {1}
