"""Columns that are no features: how much a row counts, its offset, its group, and its time.

Importing this module imports pyarrow: do so only when a file must be read.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jaxlinear.data.columns import is_missing, plain
from jaxlinear.data.delimited import Reading
from jaxlinear.data.problems import Problem, refuse


class Roles(NamedTuple):
    """What the rows have beside features and target, (n,) each, or None.

    Groups are whole numbers, moments the microseconds since 1970.
    """

    weight: np.ndarray | None
    offset: np.ndarray | None
    group: np.ndarray | None
    time: np.ndarray | None


def read(reading: Reading, asked: dict[str, str | None], path: Path) -> Roles:
    """The columns that ``asked`` names for each role. Raises ``TableError`` with all problems."""
    found = {}
    problems = []
    for role, name in asked.items():
        values = None if name is None else _values(role, reading.columns[name])
        if isinstance(values, tuple):
            row, what = values
            problems.append(Problem(name, row, what, f"--{role} needs {_NEEDS[role]} in every row"))
        found[role] = values
    refuse(path, problems, reading.header)
    return Roles(**found)


_NEEDS = {
    "weight": "a finite number ≥ 0",
    "offset": "a finite number",
    "group": "a name or number",
    "time": "a date or a finite number",
}


def _values(role: str, column: pa.ChunkedArray) -> np.ndarray | tuple[int | None, str]:
    """The values (n,), or the row, or None, and what is wrong there."""
    missing = is_missing(column)
    if missing.any():
        return int(missing.argmax()), "is missing"
    if role == "group":
        return np.unique(pc.cast(column, pa.string()).to_pylist(), return_inverse=True)[1]
    if pa.types.is_timestamp(column.type) and role == "time":
        return pc.cast(column, pa.timestamp("us")).to_numpy().astype(np.int64)
    if pa.types.is_string(column.type) or pa.types.is_timestamp(column.type):
        return None, f"holds {'words' if pa.types.is_string(column.type) else 'dates'}"
    found = plain(column)
    bad = ~np.isfinite(found) | ((found < 0) if role == "weight" else False)
    return (int(bad.argmax()), f"is {found[bad.argmax()]:g}") if bad.any() else found
