"""One question of several tables: what a table is, and how it comes about."""

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import NamedTuple

from benchmarks import harness, machine
from benchmarks.harness import Rival


class Task(NamedTuple):
    """One table: its rivals, the reference first, and the check of their answers.

    ``rounds`` is the most that it may take, where a rival needs minutes; ``first_calls`` are
    shown beside the others where compiling is a good part of them.
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


def answer(
    question: str, tasks: Iterable[Callable], directory, fast: bool, rounds: int, say: Callable
) -> dict:
    """One table for each of ``tasks``, which are made of (directory, fast).

    One whose attribute ``needs`` names a library that is absent is left out.
    """
    tables = []
    for make in tasks:
        absent = [name for name in getattr(make, "needs", ()) if find_spec(name) is None]
        if absent:
            say(f"skipped {make.__name__}: its data need {absent[0]}")
            continue
        say(make.__name__)
        tables.append(table(make(directory, fast), 1 if fast else rounds, fast, say))
    return {
        "question": question,
        "tables": tables,
        "machine": machine.describe(**({"size": 256, "megabytes": 16} if fast else {})),
    }


def table(task: Task, rounds: int, fast: bool, say) -> dict:
    """Prove, time, and describe."""
    rounds = min(rounds, task.rounds)
    rows = harness.compare(
        task.rivals, task.check, rounds=rounds, trials=max(1, rounds // 3), say=say
    )
    return {
        "title": f"{task.title}, float32" + (" (smoke test)" if fast else ""),
        "settings": task.settings,
        "unit": task.unit,
        "reference": task.rivals[0].name,
        "column": task.column,
        "first_calls": task.first_calls,
        "rows": [row._asdict() for row in rows],
        "notes": task.notes(),
    }


def shape_of(x) -> str:
    return f"{len(x):,} \N{MULTIPLICATION SIGN} {x.shape[1]}"
