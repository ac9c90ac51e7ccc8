"""Numbers and dates as people write them: 1,234.50, 12 %, $3, 1.234,50, 31.12.2020, 12/31/2020.

Importing this module imports pyarrow: do so only when a file must be read.
"""

from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

# What programs write for a missing number; in a column of words these are ordinary words.
_MISSING = (
    "",
    *("na", "n/a", "#n/a", "nan", "-nan", "null", "none", "nil", "missing", "?", "-", "."),
)
_PLAIN = r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?"
_INFINITE = r"[-+]?(?i:inf|infinity)"
_THOUSANDS = r"[-+]?[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]*)?"
_COMMA = r"[-+]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]+)(,[0-9]+)?([eE][-+]?[0-9]+)?"
_UNIT = r"[$€£¥]"
_FOR_PEOPLE = rf"[-+]?{_UNIT}?\s?[-+]?[0-9.,'\x{{2019}}\s\x{{a0}}\x{{202f}}]*[0-9]\s?({_UNIT}|%)?"
_GROUPED_BY_SPACE = r"([0-9])['\x{2019}\s\x{a0}\x{202f}]([0-9]{3})"
_ISO_TIMES = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}"
_TRUE_OR_FALSE = "(?i:true|false)"
_DATES = {  # as written: as ``strptime`` reads it
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}": "%Y-%m-%d",
    r"[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}": "%d.%m.%Y",
    r"[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}": "%Y/%m/%d",
    r"[0-9]{1,2}-[A-Za-z]{3}-[0-9]{4}": "%d-%b-%Y",
}
_DAY_OR_MONTH_FIRST = r"([0-9]{1,2})([/-])([0-9]{1,2})[/-][0-9]{4}"


def missing_words(more: Iterable[str] = ()) -> frozenset[str]:
    """The words that mean a missing number, in the ways they are written."""
    usual = {form for word in _MISSING for form in (word, word.upper(), word.capitalize())}
    return frozenset({*usual, "NaN", "-NaN", *more})


class Written(NamedTuple):
    """A column as numbers, dates or the text that it was, and what was done to it, or None.

    ``form`` is how dates are written, as ``strptime`` has it.
    """

    column: pa.ChunkedArray
    how: str | None = None
    form: str | None = None


def read(
    column: pa.ChunkedArray, missing: frozenset[str], decimal: str | None, form: str | None = None
) -> Written:
    """The numbers or dates that a column of text holds, and how they are written; or the text.

    Cells that ``missing`` holds are null among numbers and dates, and stay words among words.
    Dates are read by ``form`` where it is given, as a few may not tell the day from the month.
    """
    absent = pc.is_in(column, pa.array(sorted(missing), pa.string()))
    kept = pc.if_else(absent, pa.scalar(None, pa.string()), column)
    present = pc.drop_null(kept)
    if len(present) == 0:
        return Written(pa.chunked_array([pa.nulls(len(column), pa.float64())]))
    if _all(present, _TRUE_OR_FALSE):
        return Written(pc.cast(kept, pa.bool_()))
    numbers, how = _numbers(kept, decimal)
    if numbers is not None:
        return Written(numbers, how)
    if _all(present, _ISO_TIMES):
        return Written(pc.cast(kept, pa.timestamp("s")))
    form = form or _form(present)
    try:
        dates = pc.strptime(kept, format=form, unit="s") if form else None
    except pa.ArrowInvalid:
        dates = None
    return Written(column) if dates is None else Written(dates, f"dates written as {form}", form)


def has_decimal_commas(column: pa.ChunkedArray) -> bool:
    """Whether a column of text is of numbers, and some have a decimal comma."""
    column = pc.utf8_trim_whitespace(column)
    numbers = pc.or_(pc.match_substring_regex(column, f"^({_COMMA})$"), pc.equal(column, ""))
    return bool(pc.all(numbers).as_py() and pc.any(pc.match_substring(column, ",")).as_py())


def is_number(text: str) -> bool:
    """Whether a cell is a number as programs write it; so is inf, but not nan."""
    return _all(pa.array([text]), f"{_PLAIN}|{_INFINITE}")


def numbers_among(column: pa.ChunkedArray, missing: frozenset[str]) -> tuple[int, int]:
    """How many cells of a column of text are numbers, and the first row that is a word, or -1.

    Where all are numbers, written in several ways, the first that is written for people.
    """
    numbers = pc.match_substring_regex(column, f"^({_PLAIN}|{_INFINITE}|{_FOR_PEOPLE})$")
    plain = pc.match_substring_regex(column, f"^({_PLAIN}|{_INFINITE})$")
    absent = pc.is_in(column, pa.array(sorted(missing), pa.string()))
    row = pc.index(pc.or_(numbers, absent), False).as_py()
    row = row if row >= 0 else pc.index(pc.or_(plain, absent), False).as_py()
    return pc.sum(numbers).as_py() or 0, row


def _all(column, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(column, f"^({pattern})$")).as_py())


def _numbers(kept, decimal: str | None):
    """The numbers without units, percent signs and thousands; None where it is not clear which."""
    numbers, how = _bare(kept, decimal)
    if numbers is not None or not _all(present := pc.drop_null(kept), _FOR_PEOPLE):
        return numbers, how
    percent = pc.ends_with(present, "%")
    if pc.any(percent).as_py() and not pc.all(percent).as_py():
        return None, None
    bare = pc.replace_substring_regex(kept, rf"\s?({_UNIT}|%)\s?", "")
    for _ in range(2):  # the groups of 1 234 567 overlap
        bare = pc.replace_substring_regex(bare, _GROUPED_BY_SPACE, r"\1\2")
    numbers, how = _bare(bare, decimal)
    if numbers is not None and pc.any(percent).as_py():
        return pc.divide(numbers, 100.0), "percent, 12 % as 0.12"
    return numbers, how or "numbers with a unit or spaces"


def _bare(kept, decimal: str | None):
    """Numbers of digits and marks alone."""
    present = pc.drop_null(kept)
    number, how = f"{_PLAIN}|{_INFINITE}", None
    if decimal != "," and _all(present, number):
        bare = kept
    elif decimal != "," and _all(present, f"{_PLAIN}|{_THOUSANDS}"):
        bare, how = pc.replace_substring(kept, ",", ""), "numbers with commas between thousands"
    elif decimal != "." and _all(present, _COMMA):
        bare = pc.replace_substring(pc.replace_substring(kept, ".", ""), ",", ".")
        marked = pc.any(pc.match_substring_regex(present, "[.,]")).as_py()
        how = "numbers with decimal commas" if marked else None
    elif _all(present, number):
        bare = kept
    else:
        return None, None
    return pc.cast(bare, pa.float64()), how


def _form(present) -> str | None:
    """How dates are written, where they tell."""
    for pattern, form in _DATES.items():
        if _all(present, pattern):
            return form
    if not _all(present, _DAY_OR_MONTH_FIRST):
        return None
    parts = pc.extract_regex(present, r"^(?P<first>[0-9]+)(?P<mark>[/-])(?P<second>[0-9]+)[/-]")
    first, second = (
        pc.max(pc.cast(pc.struct_field(parts, name), pa.int64())).as_py()
        for name in ("first", "second")
    )
    if (first > 12) == (second > 12):  # 01/02/2020: nobody can tell
        return None
    mark = pc.struct_field(parts, "mark")[0].as_py()
    return mark.join(["%d", "%m", "%Y"] if first > 12 else ["%m", "%d", "%Y"])


def is_ambiguous_date(text: str) -> bool:
    """Whether a cell is a date such as 01/02/2020, of which nobody can tell the month."""
    return _all(pa.array([text]), _DAY_OR_MONTH_FIRST)
