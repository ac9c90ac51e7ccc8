"""The cells of a text file as text: its encoding, its separator, its names and its decimal comma.

Nothing is converted here but decimal commas, so that a class called NA and the labels 01 and 1 are
not lost before it is known what a column is for.

Importing this module imports pyarrow: do so only when a file must be read.
"""

import codecs
import csv
import gzip
import io
import itertools
import zlib
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

SEPARATORS = ";\t|,"  # a comma last: of equals it is the decimal mark
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_BAD_GZIP = (gzip.BadGzipFile, zlib.error, EOFError)
# 1234,5 or 1.234,5: a decimal comma, and points between thousands.
_WITH_COMMA = r"^[-+]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]+)(,[0-9]+)?([eE][-+]?[0-9]+)?$"


class Dialect(NamedTuple):
    """How a text file is written; None is found by looking."""

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None


def read(path: Path, dialect: Dialect) -> pa.Table:
    """All cells as text without the spaces around it, under the names of the first row.

    Raises ValueError that names the file and, where it can, the row.
    """
    _require_known(dialect)
    encoding = dialect.encoding or "utf-8"
    try:
        encoding = dialect.encoding or _encoding(path)
        rows = _first_rows(path, encoding)
        separator = dialect.separator or _separator(rows)
        header = next((row for row in csv.reader(rows, delimiter=separator) if row), [])
        names = [str(index) for index in range(len(header))]  # the file may repeat a name
        table = pa.csv.read_csv(
            path,
            read_options=pa.csv.ReadOptions(
                use_threads=False, column_names=names, encoding=encoding.replace("-sig", "")
            ),  # without threads an error tells the row
            parse_options=pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except (pa.ArrowInvalid, UnicodeError, csv.Error, *_BAD_GZIP) as error:
        raise ValueError(
            f"{path} is not a table ({error}); expected text encoded as {encoding.upper()}, a "
            "header, and rows with as many values as the header has names"
            f"{'' if dialect.encoding else ' (or --encoding, in Python encoding=, for another)'}."
        ) from error
    table = table.slice(1)
    if table.num_rows == 0:
        raise ValueError(f"{path} has a header but no rows, expected one example per row.")
    columns = [pc.utf8_trim_whitespace(column) for column in table.columns]
    names = [name.strip() for name in header]
    for name, column in zip(names, columns, strict=True):
        row = pc.index(pc.match_substring(column, "\n"), True).as_py()
        if row >= 0:
            raise ValueError(
                f"{path}: column {name!r} holds several lines {in_row(row)}; expected one value: "
                "is a quote not closed?"
            )
    return pa.table(_with_points(columns, dialect.decimal, separator), names=names)


def in_row(row: int) -> str:
    """Rows as pyarrow and spreadsheets count them."""
    return f"in row {row + 2} (the header is row 1)"


def _require_known(dialect: Dialect) -> None:
    separator, decimal, encoding = dialect
    if separator is not None and len(separator) != 1:
        raise ValueError(f"the separator is {separator!r}; expected one character, such as ';'.")
    if decimal not in (None, ".", ",") or (decimal == "," and separator == ","):
        raise ValueError(
            f"the decimal mark is {decimal!r} and the separator {separator!r}; expected '.' or "
            "',', and another separator."
        )
    if encoding is not None:
        try:
            codecs.lookup(encoding)
        except LookupError as error:
            raise ValueError(
                f"the encoding is {encoding!r}; expected one that Python knows, such as latin-1."
            ) from error


def _open(path: Path):
    return gzip.open(path) if path.suffix == ".gz" else open(path, "rb")


def _encoding(path: Path) -> str:
    """UTF-8, unless the file begins with the mark of another."""
    with _open(path) as file:
        start = file.read(4)
    return next((name for mark, name in _MARKS.items() if start.startswith(mark)), "utf-8")


def _first_rows(path: Path, encoding: str) -> list[str]:
    """The first lines that are not empty, ten at the most, with their ends."""
    with _open(path) as file:
        text = io.TextIOWrapper(file, encoding=encoding, newline="")
        lines = list(itertools.islice((line for line in text if line.strip()), 10))
    if any("\0" in line for line in lines):
        raise csv.Error("it holds zero bytes")
    return lines


def _separator(lines: list[str]) -> str:
    """The separator that makes most columns, and the same number in the first rows; or a comma."""
    widths = {}
    for separator in SEPARATORS:
        rows = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        if len(set(rows)) == 1:
            widths[separator] = rows[0]
    return max(widths, key=widths.get) if max(widths.values(), default=1) > 1 else ","


def _with_points(columns: list, decimal: str | None, separator: str) -> list:
    """Columns of numbers with points for decimal commas, where the file is written with commas."""
    if decimal == "." or (decimal is None and separator == ","):
        return columns
    of_numbers = [_holds_numbers(column) for column in columns]
    with_comma = [
        numbers and pc.any(pc.match_substring(column, ",")).as_py()
        for column, numbers in zip(columns, of_numbers, strict=True)
    ]
    if decimal is None and not any(with_comma):
        return columns
    return [
        pc.replace_substring(pc.replace_substring(column, ".", ""), ",", ".") if numbers else column
        for column, numbers in zip(columns, of_numbers, strict=True)
    ]


def _holds_numbers(column) -> bool:
    """Whether every cell that is not empty is a number with a decimal comma, or whole."""
    fits = pc.or_(pc.match_substring_regex(column, _WITH_COMMA), pc.equal(column, ""))
    return bool(pc.all(fits).as_py())
