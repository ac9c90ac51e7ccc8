"""The target of a table: numbers, true and false, or the words of its classes.

Importing this module imports pyarrow: do so only when a file must be read.
"""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jaxlinear.data import written
from jaxlinear.data.columns import is_missing, plain
from jaxlinear.data.delimited import Reading
from jaxlinear.data.problems import Problem, refuse
from jaxlinear.data.single_precision import double, single

_WHOLE = re.compile(r"[-+]?\d+")
_CODE = "^[-+]?0[0-9]+$"  # 01 is not 1
_MENDS = "--missing drop leaves such rows out"


def values(reading: Reading, name: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The target y (n,) and the rows (n,) that have one.

    y is of whole numbers (int64), fractions (float32, where it tells them apart), booleans, or
    text. Raises ``TableError`` for dates, infinite values, and numbers among which there is a word.
    """
    column = reading.columns[name]
    if not pa.types.is_string(column.type):
        return _typed(column, name, reading, path)
    if pc.any(pc.match_substring_regex(column, _CODE)).as_py():
        return _text(column)
    look = written.read(column, reading.missing, reading.decimal).column
    if not pa.types.is_string(look.type):
        whole = pc.all(pc.match_substring_regex(column, "^(-?[0-9]+)?$")).as_py()
        if whole and look.null_count < len(look):
            look = pc.cast(pc.if_else(pc.is_null(look), None, column), pa.int64())
        words = pc.unique(column).to_pylist()
        if look.null_count == 0 or any(map(written.is_number, words)) or words == [""]:
            return _typed(look, name, reading, path)
    return _words(column, name, reading, path)


def _text(column) -> tuple[np.ndarray, np.ndarray]:
    present = ~is_missing(column)
    return np.array(pc.fill_null(column, "").to_pylist(), dtype=str), present


def _typed(column, name, reading, path) -> tuple[np.ndarray, np.ndarray]:
    missing = is_missing(column)
    if pa.types.is_timestamp(column.type):
        first = pc.drop_null(column)[0].as_py()
        problem = f"holds dates, such as {first:%Y-%m-%d}, expected numbers"
        refuse(path, [Problem(name, None, problem, "write the days since one of them")])
    if pa.types.is_boolean(column.type):
        return pc.fill_null(column, False).to_numpy(), ~missing
    if pa.types.is_integer(column.type):
        return pc.fill_null(column, 0).to_numpy().astype(np.int64), ~missing
    found = np.where(missing, 0.0, plain(column))
    if not np.isfinite(found).all():
        row = int(np.argmin(np.isfinite(found)))
        problem = Problem(name, row, f"is {found[row]}", "expected finite numbers: mend the row")
        refuse(path, [problem], reading.header)
    where = f"{path}: column {name!r}"
    known = double(found[~missing], lambda: pc.count_distinct(column).as_py(), where)
    rounded = np.zeros(len(found), np.float32)
    rounded[~missing] = single(known, where)
    if not np.isfinite(rounded).all():
        row = int(np.argmin(np.isfinite(rounded)))
        mend = "expected finite float32 numbers: choose another unit"
        refuse(path, [Problem(name, row, f"is {found[row]:g}", mend)], reading.header)
    return rounded, ~missing


def _words(column, name, reading, path) -> tuple[np.ndarray, np.ndarray]:
    """Words of classes, unless most of the different ones are numbers."""
    words = [word for word in pc.unique(column).to_pylist() if word]
    numbers = [word for word in words if written.is_number(word)]
    others = [word for word in words if not written.is_number(word)]
    fractions = any(not _WHOLE.fullmatch(word) for word in numbers)
    if others and written.is_ambiguous_date(others[0]):
        refuse(path, [Problem(name, 0, f"holds dates, such as {others[0]!r}", "expected numbers")])
    strays, row = written.numbers_among(column, reading.missing)
    if fractions or len(numbers) > len(others) or (strays and 2 * strays > len(column)):
        found = f"is {column[row].as_py()!r}"
        mend = "expected numbers, written as 1234.5, or words for classes, without numbers"
        refuse(path, [Problem(name, row, found, mend)], reading.header)
    return _text(column)


def require_present(present: np.ndarray, name: str, reading: Reading, path: Path) -> None:
    """Raise ``TableError`` where a target is missing."""
    if not present.all():
        count = (~present).sum()
        also = f", and in {count:,} of {len(present):,} rows"
        problem = Problem(name, int(present.argmin()), "is missing", _MENDS, also)
        refuse(path, [problem], reading.header)
