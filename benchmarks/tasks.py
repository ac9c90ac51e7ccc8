"""One question of several tables: what a table is, and how it comes about."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import numpy as np

from benchmarks import harness, machine
from benchmarks.harness import Rival
from benchmarks.rivals.libraries import absent


class Task(NamedTuple):
    """One table: its rivals, the reference first, and the check of their answers.

    ``work`` of a rival counts units. ``rounds`` is the most that it may take, where a rival needs
    minutes; ``first_calls`` are shown beside the others where compiling is a good part of them.
    """

    title: str
    unit: str
    rivals: list[Rival]
    check: Callable
    settings: dict
    column: str = "correct digits"
    notes: Callable[[], dict] = dict
    rounds: int = 100
    first_calls: bool = False
    dtype: str | None = None  # of every floating number in an answer
    cost: Callable[[], dict] | None = None  # {"flops", "bytes"} of a unit of work
    headline: str = ""  # for the first table of the README
    form: str = ", float32"  # of the data, behind the title


def answer(
    question: str,
    tasks: Iterable[Callable],
    *,
    directory=None,
    fast: bool = False,
    rounds: int = 7,
    say: Callable = print,
) -> dict:
    """One table for each of ``tasks``, which are made of (directory, fast).

    One whose attribute ``needs`` names a library that is absent is left out.
    """
    tables = []
    for make in tasks:
        missing = [reason for name in getattr(make, "needs", ()) if (reason := absent(name))]
        if missing:
            say(f"skipped {make.__name__}: {missing[0]}")
            continue
        say(make.__name__)
        tables.append(table(make(directory, fast), 1 if fast else rounds, fast, say))
    return {
        "question": question,
        "tables": tables,
        "machine": machine.describe(fast=fast),
    }


def table(task: Task, rounds: int, fast: bool, say) -> dict:
    """Prove, time, and describe."""
    rounds = min(rounds, task.rounds)
    rows = harness.compare(
        task.rivals,
        task.check,
        rounds=rounds,
        trials=max(1, rounds // 3),
        dtype=task.dtype,
        say=say,
    )
    return {
        "title": task.title + task.form + (" (smoke test)" if fast else ""),
        "settings": task.settings,
        "unit": task.unit,
        "reference": task.rivals[0].name,
        "column": task.column,
        "first_calls": task.first_calls,
        "rows": [row._asdict() for row in rows],
        "notes": task.notes(),
        "cost": task.cost() if task.cost else None,
        "headline": task.headline,
    }


def said_of(part: float, whole: int, things: str) -> str:
    """What a row says of a loop that is timed on a part."""
    return "" if part == 1 else f"timed on {round(part * whole):,} {things} and scaled"


def largest_error(answer, expected) -> float:
    """Over all arrays, relative to the largest number of each; of as many rows as there are."""

    def error(got, known):
        got = np.asarray(got, np.float64)
        known = known[: len(got)] if got.ndim else known
        return np.max(np.abs(got - known)) / np.max(np.abs(known))

    return float(max(jax.tree.leaves(jax.tree.map(error, answer, expected))))


def at_most(tolerance: float, error_of: Callable) -> Callable:
    """A check that gives the error of an answer, or refuses it."""

    def check(answer):
        error = float(error_of(answer))
        if not error <= tolerance:  # a NaN is refused too
            raise ValueError(f"off by {error:.1e}, expected at most {tolerance:g}")
        return float(f"{error:.1g}")

    return check


def near(expected, tolerance: float) -> Callable:
    """A check against what is known."""
    return at_most(tolerance, lambda answer: largest_error(answer, expected))


def shape_of(x) -> str:
    return f"{len(x):,} \N{MULTIPLICATION SIGN} {x.shape[1]}"
