"""What was decided of a table: told to the person, and kept so that other files are read alike.

Importing this module imports pyarrow: do so only when a file must be read.
"""

from jaxlinear.cli.target import Target
from jaxlinear.data import columns
from jaxlinear.data.delimited import Reading
from jaxlinear.data.features import Coding
from jaxlinear.data.problems import sentences


def told(reading: Reading, code: Coding, options, found: Target, present) -> tuple[str, ...]:
    """What a person should know of how the table was read, a sentence each."""
    left = len(present) - int(present.sum())
    rows = [f"{left:,} of {len(present):,} rows miss a value, and are left out"] if left else []
    hows = {column.name: _how(column) for column in code.columns if column.kind != "number"}
    coded = sentences(hows, "coded as ")
    filled = [column.name for column in code.columns if column.fill is not None and _misses(
        reading, column.name)]  # fmt: skip
    means = [f"missing values become the {options.missing} of training rows in {_few(filled)}"]
    reason = f"the target {', '.join(map(repr, options.target))} holds {found.reason}"
    read, left_out = sentences(reading.written, "read as "), sentences(code.left_out, "left out: ")
    return (reason, *read, *left_out, *rows, *coded, *(means if filled else ()))


def _misses(reading: Reading, name: str) -> bool:
    return bool(columns.is_missing(reading.columns[name]).any())


def _how(column) -> str:
    if column.kind == "days":
        return f"the days since {column.since}"
    if column.kind == "parts":
        return "year, month and day of the week"
    other = ", rare ones together" if columns.OTHER in column.levels else ""
    count = len(column.levels) + (column.baseline is not None)
    return f"{count} categories{other}"


def _few(names: list[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" * (len(names) > 5))


def kept(code: Coding, design, reading: Reading, options, asked: dict) -> dict:
    """All that another file needs to be read as this one was, and what a person may ask."""
    by = "group" if options.group else "time" if options.time else "random"
    return {
        "columns": [column._asdict() for column in code.columns],
        "formula": None if design is None else design._asdict(),
        "left_out": dict(code.left_out),
        "read": dict(reading.written),
        "target": list(options.target),
        "roles": asked,
        "missing": options.missing,
        "split": {"by": by, "test_fraction": options.test_fraction, "seed": options.seed},
    }
