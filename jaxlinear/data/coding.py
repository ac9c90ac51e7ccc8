"""What becomes of every column of a table, decided on the training rows.

Columns of numbers stay, words that repeat become categories, dates become numbers; what counts the
rows, says nothing or cannot be used is left out and told, or refused, all of it at once.

Importing this module imports pyarrow: do so only when a file must be read.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jaxlinear.data import columns, written
from jaxlinear.data.columns import MISSING, OTHER, Column, is_missing
from jaxlinear.data.delimited import Reading
from jaxlinear.data.features import Coding
from jaxlinear.data.problems import Problem, refuse, sentences
from jaxlinear.data.single_precision import double

MISSING_VALUES = ("error", "drop", "mean", "median", "indicator")
DATES = ("error", "days", "parts")
_RARE = 3  # rows at least, for a category of its own
_LEVELS = 50  # categories at most, beside the one of all others
# The names that programs give to row numbers, and people to keys.
_ROW_NUMBERS = re.compile(r"(Unnamed: \d+(_level_\d+)?)?")
_KEY = re.compile(r"index|row|nr|no|(.*[\W_])?(id|uuid|guid|key)", re.IGNORECASE)
_CAMEL = re.compile(r".*[a-z]I[dD]")


class Choices(NamedTuple):
    """What to do with columns that are no plain numbers.

    ``missing`` is one of ``MISSING_VALUES``, ``dates`` one of ``DATES``. ``categorical`` are
    columns of categories, numbers though they may be; with ``guess`` so are words that repeat,
    and columns that name the rows are left out unless ``keep`` has them. With ``baseline`` the
    most frequent category has no feature, so that an unpenalised fit is unique.
    """

    missing: str = "error"
    dates: str = "error"
    categorical: tuple[str, ...] = ()
    guess: bool = False
    keep: tuple[str, ...] = ()
    baseline: bool = False


def present(reading: Reading, names: Sequence[str]) -> np.ndarray:
    """The rows (n,) that miss none of the columns ``names``; those that are empty do not count."""
    rows = np.ones(reading.columns.num_rows, bool)
    for name in names:
        missing = is_missing(reading.columns[name])
        rows &= ~missing | missing.all()
    return rows


def decide(
    reading: Reading, names: Sequence[str], rows: np.ndarray, choices: Choices, path: Path
) -> Coding:
    """Decide what becomes of the columns ``names``, by the training ``rows`` (n,), a mask.

    All rows are looked at for what must be refused. Raises ``TableError`` with all problems.
    """
    kept, left_out, problems = [], {}, []
    decided = columns.each(lambda name: _decide(name, reading, rows, choices), names)
    for name, found in zip(names, decided, strict=True):
        if isinstance(found, Column):
            kept.append(found)
        elif isinstance(found, Problem):
            problems.append(found)
        else:
            left_out[name] = found
    if not kept and not problems:
        mend = "; ".join(sentences(left_out, "left out: ")) or "name other columns"
        problems = [Problem(None, None, "there is no column to learn from", mend)]
    refuse(path, problems, reading.header)
    return Coding(tuple(kept), left_out)


def _decide(name: str, reading: Reading, rows: np.ndarray, choices: Choices):
    """The ``Column``, or a ``Problem``, or why the column is left out."""
    values = reading.columns[name]
    if name not in choices.keep and (reason := _names_the_rows(name, values)):
        if choices.guess and name not in choices.categorical:
            return reason
        if _ROW_NUMBERS.fullmatch(name) or (name.lower() == "index" and _counts(values)):
            mend = f"--drop {name!r} leaves it out (pandas: to_csv(index=False)), or name it"
            return Problem(name, None, reason.removeprefix("it "), mend)
    if name in choices.categorical:
        return _category(name, values, rows, choices)
    if pa.types.is_string(values.type):
        return _of_words(name, values, reading, rows, choices)
    missing = is_missing(values)
    if missing.all() and choices.guess:
        return "it is empty"
    if missing.any() and choices.missing == "error":
        return _missing_problem(name, values, missing)
    if pa.types.is_timestamp(values.type):
        return _of_dates(name, values, reading, rows, choices)
    return _of_numbers(name, values, rows, choices)


def _of_numbers(name: str, values, rows, choices: Choices):
    found = columns.plain(values)
    if np.isinf(found).any():
        row = int(np.argmax(np.isinf(found)))
        return Problem(name, row, f"is {found[row]}", "expected finite numbers: mend the row, or "
                       f"--drop {name} leaves the column out")  # fmt: skip
    try:
        double(found, lambda: pc.count_distinct(values).as_py(), "")
    except ValueError as error:
        return Problem(name, None, str(error).strip().rstrip("."), f"--drop {name} leaves it out")
    missing = np.isnan(found)
    known = found[rows & ~missing]
    column = _filled(Column(name, "number"), known, missing[rows], choices)
    if choices.guess and len(known) == 0:
        return "it is empty"
    if choices.guess and known.min() == known.max() and not column.indicator:
        return f"it is always {known[0]:g}"
    return column


def _filled(column: Column, known: np.ndarray, missing: np.ndarray, choices: Choices) -> Column:
    """The column with what stands for missing numbers."""
    if choices.missing in ("error", "drop") or len(known) == 0:
        return column
    fill = float(np.median(known) if choices.missing == "median" else np.mean(known))
    return column._replace(
        fill=fill, indicator=bool(choices.missing == "indicator" and missing.any())
    )


def _of_dates(name: str, values, reading: Reading, rows, choices: Choices):
    if choices.dates == "error":
        first = pc.drop_null(values)[0].as_py()
        mend = f"--dates days counts them, --drop {name} leaves the column out"
        return Problem(name, None, f"holds dates, such as {first:%Y-%m-%d}, no numbers", mend)
    form = reading.forms.get(name)
    known = pc.filter(values, pa.array(rows))
    if pc.count_distinct(known).as_py() < 2:
        return "it is always the same date"
    if choices.dates == "days":
        column = Column(name, "days", since=columns.earliest(known), form=form)
        days = columns.numbers(column, values)[:, 0]
        missing = np.isnan(days)
        return _filled(column, days[rows & ~missing], missing[rows], choices)
    if (missing := is_missing(values)).any() and choices.missing != "drop":
        return _missing_problem(name, values, missing, "--missing drop leaves such rows out")
    hours = ("hour",) if pc.any(pc.not_equal(pc.hour(known), 0)).as_py() else ()
    return Column(name, "parts", levels=hours, form=form)


def _of_words(name: str, values, reading: Reading, rows, choices: Choices):
    n = len(values)
    count, row = written.numbers_among(values, reading.missing)
    word = values[max(row, 0)].as_py()
    ways = f"--categorical {name} makes categories of it, --drop {name} leaves it out"
    if word is not None and written.is_ambiguous_date(word):
        return Problem(name, row, f"is {word!r}", "day or month first, nobody can tell: write "
                       f"dates as 2020-01-31, or --drop {name} leaves the column out")  # fmt: skip
    if row >= 0 and 2 * count >= n:
        return Problem(name, row, f"is {word!r}", "expected numbers: write them as 1234.5, or "
                       f"--na {word} reads the word as missing, {ways}")  # fmt: skip
    distinct = pc.count_distinct(values).as_py()
    repeat = 2 * distinct <= n
    if not choices.guess:
        return Problem(name, max(row, 0), f"is {word!r}", f"expected numbers: {ways}")
    if not repeat:
        return f"it holds {distinct:,} words in {n:,} rows, which do not repeat"
    return _category(name, values, rows, choices)


def _category(name: str, values, rows, choices: Choices):
    if not pa.types.is_string(values.type):
        values = pc.cast(values, pa.string())
    known = pc.fill_null(pc.filter(values, pa.array(rows)), MISSING)
    missing = pc.equal(pc.fill_null(values, MISSING), MISSING).to_numpy()
    if missing.any() and choices.missing == "error":
        return _missing_problem(name, values, missing)
    counts = {pair["values"]: pair["counts"] for pair in pc.value_counts(known).to_pylist()}
    often = sorted(counts, key=lambda word: (-counts[word], word))
    own = [word for word in often[:_LEVELS] if counts[word] >= min(_RARE, counts[often[0]])]
    levels = sorted(own)
    if len(own) < len(often):
        levels.append(OTHER)
    if len(levels) < 2:
        return f"it is always {levels[0]!r}"
    baseline = None
    if len(levels) == 2:
        baseline = levels[0]
    elif choices.baseline:
        baseline = own[0]
    return Column(
        name, "category", levels=tuple(level for level in levels if level != baseline),
        baseline=baseline,
    )  # fmt: skip


def _names_the_rows(name: str, values) -> str | None:
    """Why a column is a number or a name of the row: in a sorted file it predicts the target."""
    if pa.types.is_floating(values.type) and values.null_count == len(values):
        return None
    if _ROW_NUMBERS.fullmatch(name):
        return "it has no name of its own, as the row numbers that programs write"
    if not (_KEY.fullmatch(name) or _CAMEL.fullmatch(name)) or len(values) < 2:
        return None
    if pa.types.is_floating(values.type) or pa.types.is_boolean(values.type):
        return None
    if name.lower() == "index" and _counts(values):
        return "it counts the rows"
    differ = pc.count_distinct(values).as_py() == len(values)
    return "no two rows are equal in it, and its name is that of a key" if differ else None


def _counts(values: pa.ChunkedArray) -> bool:
    whole = pa.types.is_integer(values.type) and values.null_count == 0
    return bool(whole and (np.diff(values.to_numpy()) == 1).all())


def _missing_problem(name: str, values, missing: np.ndarray, mend: str | None = None) -> Problem:
    mend = mend or (
        "--missing median (or mean, indicator) fills such values in, --missing drop leaves the "
        f"rows out, --drop {name} the column"
    )
    also = f", and in {missing.sum():,} of {len(values):,} rows"
    return Problem(name, int(missing.argmax()), "is missing", mend, also)
