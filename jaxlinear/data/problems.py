"""Everything that is wrong with a table, told at once: where, what was found, what mends it."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_AT_MOST = 20  # problems that are told; more are counted


class Problem(NamedTuple):
    """One thing that is wrong: its column, its row (from 0), what was found and what to do.

    ``also`` is what the row alone does not tell.
    """

    column: str | None
    row: int | None
    found: str
    mend: str
    also: str = ""


class TableError(ValueError):
    """A table that cannot be used as it is; ``problems`` are all reasons."""

    def __init__(self, path: Path, problems: Sequence[Problem], header: bool = True):
        """Say one problem in one line, several in a line each."""
        self.problems = tuple(problems)
        told = [_sentence(problem, header) for problem in problems[:_AT_MOST]]
        if len(problems) == 1:
            super().__init__(f"{path}: {told[0]}")
            return
        if len(problems) > _AT_MOST:
            told.append(f"and {len(problems) - _AT_MOST:,} more.")
        lines = "\n".join(f"  - {line}" for line in told)
        super().__init__(f"{path} has {len(problems):,} problems:\n{lines}")


def refuse(path: Path, problems: Sequence[Problem], header: bool = True) -> None:
    """Raise ``TableError`` if there are problems."""
    if problems:
        raise TableError(path, problems, header)


@contextlib.contextmanager
def collecting(problems: list[Problem]) -> Iterator[None]:
    """Add the problems that are found inside to ``problems``, in place of raising them."""
    try:
        yield
    except TableError as error:
        problems.extend(error.problems)


def sentences(found: Mapping[str, str], verb: str) -> tuple[str, ...]:
    """What was found of columns, by name: a sentence for all of which the same is to be told."""
    columns: dict[str, list[str]] = {}
    for name, what in found.items():
        columns.setdefault(what, []).append(name)
    return tuple(f"{_columns(names)} {verb}{what}" for what, names in columns.items())


def _columns(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return f"column {shown} is" if len(names) == 1 else f"columns {shown}{more} are"


def in_row(row: int, header: bool = True) -> str:
    """Rows as spreadsheets count them; of a file without a line of names, from 1."""
    return f"in row {row + 2} (the header is row 1)" if header else f"in row {row + 1} (from 1)"


def _sentence(problem: Problem, header: bool) -> str:
    column = "" if problem.column is None else f"column {problem.column!r} "
    row = "" if problem.row is None else f" {in_row(problem.row, header)}"
    return f"{column}{problem.found}{row}{problem.also}; {problem.mend}."
