"""A text file as a table: its encoding, its separator, its names, and the types of its columns.

pyarrow finds the types, by all rows. Numbers that are written for people, dates that are not
written as 2020-01-31 and words come as text, which ``written`` looks at.

Importing this module imports pyarrow: do so only when a file must be read.
"""

import codecs
import csv
import functools
import gzip
import io
import itertools
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from jaxlinear.data import written
from jaxlinear.data.problems import in_row

SEPARATORS = ";\t|,"  # a comma last: of equals it is the decimal mark
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_BAD_GZIP = (gzip.BadGzipFile, zlib.error, EOFError)


class Dialect(NamedTuple):
    """How a text file is written; None is found by looking.

    ``missing`` are words that mean a missing value beside the usual ones. Without a ``header``
    the columns are called 1, 2, ….
    """

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    missing: tuple[str, ...] = ()
    header: bool = True


class Reading(NamedTuple):
    """The columns of a file, and, by name, how numbers are written, and the form of dates.

    ``missing``, ``decimal`` and ``header`` are how the text was found to be written.
    """

    columns: pa.Table
    written: Mapping[str, str] = {}
    forms: Mapping[str, str] = {}
    missing: frozenset[str] = frozenset()
    decimal: str | None = None
    header: bool = False


def read(
    path: Path, dialect: Dialect, words: Collection[str] = (), forms: Mapping[str, str] = {}
) -> Reading:
    """The columns by name, as numbers, dates or text.

    Columns that ``words`` names stay the text that was written; dates of columns that ``forms``
    names are read so. Raises ValueError that names the file and, where it can, the row.
    """
    _require_known(dialect)
    encoding = dialect.encoding or "utf-8"
    try:
        encoding = dialect.encoding or _encoding(path)
        start = _start(path, encoding)
        separator = dialect.separator or _separator(start.rows)
        names = _names(start, separator, dialect.header)
        options = (path, separator, encoding, names, start.skipped + dialect.header)
        missing = written.missing_words(dialect.missing)
        table = _parse(*options, missing, [name in words for name in names])
        commas = _has_decimal_commas(table, dialect.decimal, separator)
        if commas:  # 1.234 may be a whole number here: read the text again
            table = _parse(*options, missing, [True] * len(names))
    except (pa.ArrowInvalid, UnicodeError, csv.Error, *_BAD_GZIP) as error:
        raise ValueError(
            f"{path} is not a table ({error}); expected text encoded as {encoding.upper()}, a "
            "header, and rows with as many values as the header has names"
            f"{'' if dialect.encoding else ' (or --encoding, in Python encoding=, for another)'}."
        ) from error
    if table.num_rows == 0:
        raise ValueError(f"{path} has a header but no rows, expected one example per row.")
    decimal = "," if commas else dialect.decimal
    look = functools.partial(written.read, missing=missing, decimal=decimal)
    table, hows, forms = _looked_at(table, names, words, forms, look, path, dialect.header)
    return Reading(table, hows, forms, missing, decimal, dialect.header)


def _looked_at(table, names, words, forms, look, path, header):
    """The table with numbers and dates for the text that holds them, and how they were written."""
    columns, hows, found = [], {}, {}
    for name, column in zip(names, table.columns, strict=True):
        if pa.types.is_string(column.type):
            column = pc.utf8_trim_whitespace(column)
            row = pc.index(pc.match_substring(column, "\n"), True).as_py()
            if row >= 0:
                raise ValueError(
                    f"{path}: column {name!r} holds several lines {in_row(row, header)}; "
                    "expected one value: is a quote not closed?"
                )
            if name not in words:
                column, how, form = look(column, form=forms.get(name))
                hows |= {name: how} if how else {}
                found |= {name: form} if form else {}
        columns.append(column)
    return pa.table(columns, names=names), hows, found


def _parse(path, separator, encoding, names, skipped, missing, as_text) -> pa.Table:
    places = [str(place) for place in range(len(names))]  # the file may repeat a name
    text = {place: pa.string() for place, text in zip(places, as_text, strict=True) if text}

    def parse(use_threads):
        return pa.csv.read_csv(
            path,
            read_options=pa.csv.ReadOptions(
                use_threads=use_threads,
                column_names=places,
                skip_rows_after_names=skipped,
                encoding=encoding.replace("-sig", ""),
            ),
            parse_options=pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=text,
                null_values=sorted(missing),
                quoted_strings_can_be_null=False,  # "NA" in quotes is a word
                strings_can_be_null=False,
            ),
        )

    try:
        table = parse(use_threads=True)
    except pa.ArrowInvalid:
        table = parse(use_threads=False)  # whose message tells the row
    if any(pa.types.is_binary(column.type) for column in table.columns):
        raise UnicodeError("it holds bytes that are no characters")
    pa.default_memory_pool().release_unused()  # what reading took beside the table
    return table


def _require_known(dialect: Dialect) -> None:
    separator, decimal, encoding = dialect[:3]
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


class _Start(NamedTuple):
    """The first lines that are not empty, ten at the most, and how many were before them."""

    rows: list[str]
    skipped: int


def _start(path: Path, encoding: str) -> _Start:
    with _open(path) as file:
        text = io.TextIOWrapper(file, encoding=encoding, newline="")
        empty = 0
        lines = []
        for line in itertools.islice(text, 1000):
            if line.strip():
                lines.append(line)
            elif not lines:
                empty += 1
            if len(lines) == 10:
                break
    if any("\0" in line for line in lines):
        raise csv.Error("it holds zero bytes")
    return _Start(lines, empty)


def _names(start: _Start, separator: str, header: bool) -> list[str]:
    first = next((row for row in csv.reader(start.rows, delimiter=separator) if row), [])
    if not first:
        raise csv.Error("it is empty")
    return [name.strip() if header else str(place) for place, name in enumerate(first, start=1)]


def _separator(lines: list[str]) -> str:
    """The separator that makes most columns, and the same number in the first rows; or a comma."""
    widths = {}
    for separator in SEPARATORS:
        rows = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        if len(set(rows)) == 1:
            widths[separator] = rows[0]
    return max(widths, key=widths.get) if max(widths.values(), default=1) > 1 else ","


def _has_decimal_commas(table: pa.Table, decimal: str | None, separator: str) -> bool:
    """Whether the file is written with decimal commas: a column of numbers shows it, or it is said.

    With commas between columns they are not looked for: 1,234 in quotes has thousands there.
    """
    if decimal is not None or separator == ",":
        return decimal == ","
    text = [column for column in table.columns if pa.types.is_string(column.type)]
    return any(written.has_decimal_commas(column) for column in text)
