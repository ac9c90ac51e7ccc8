"""On which shapes is a convex fit quicker than the best of the others, and on which is it not?

All rivals answer the same question: the objective, computed again in float64 NumPy, is to be
within ``NEAR`` of the best that anyone found. A rival is timed at the loosest of ``TOLERANCES``
that takes it there, which flatters it; jaxlinear at its default, and at a tolerance of 1e-3 to see
what the default costs. The calls are those of a user, no ``jit`` around ours; where they
are short, their checks are a good part of them, and ours is timed under ``jit`` as well.

``measure`` is for scripts. The grid takes hours: each cell is written as soon as it is there.
"""

import datetime
import functools
from collections.abc import Callable

import jax
import numpy as np

import jaxlinear as jl
from benchmarks import float64, machine, report
from benchmarks.grid import cells, optimum, tables
from benchmarks.grid.cells import CELLS, FAST, Cell, choose, group
from benchmarks.grid.climb import climb
from benchmarks.grid.optimum import NEAR, lowest, reference
from benchmarks.grid.tables import COMPILED, LOOSE, OURS
from benchmarks.grid.timing import QUICK, timed, told
from benchmarks.grid.ways import ways
from benchmarks.harness import Rival, Row
from benchmarks.rivals import libraries

LIMIT = 60.0  # seconds of a call, after which it is not repeated


def answer(
    *,
    directory=None,
    fast: bool = False,
    rounds: int = 7,
    say: Callable = print,
    cells: str | None = None,
    kept_back: bool = False,
    ours: bool = False,
    limit: float = LIMIT,
    out=None,
) -> dict:
    """Measure the chosen ``cells`` (see ``cells.choose``) beside those of an older result.

    The result is written to the folder ``out`` after every cell. With ``ours`` the rivals of the
    older result stay, and jaxlinear alone is timed: after a change, minutes instead of hours.
    """
    libraries.import_libraries()
    older = report.latest("convex_grid", out) if out and not fast else None
    result = {
        "question": "convex_grid",
        "tables": [],  # of rivals, as other questions have: here they would be a hundred
        "cells": older["cells"] if older else [],
        "machine": machine.describe(fast=fast),
    }
    chosen = range(len(FAST)) if fast else choose(cells, kept_back)
    for number in chosen:
        cell = (FAST if fast else CELLS)[number]
        known = next((c for c in result["cells"] if c["name"] == cell.name), None)
        if not fast:
            jax.clear_caches()  # a first call owes nothing to the cell before
        made = measure(cell, 1 if fast else rounds, limit, known if ours else None, say)
        made |= {"number": number, "group": group(number)} | _origin(result["machine"])
        others = [c for c in result["cells"] if c["name"] != cell.name]
        result["cells"] = sorted([*others, made], key=lambda c: c["number"])
        say(tables.line(made))
        if out:
            report.write(result, out)
    return result


def _origin(about: dict) -> dict:
    """The cells of a result may be of several days."""
    today = datetime.date.today().isoformat()
    return {"date": today, "commit": about["commit"], "dirty": about["dirty"]}


def measure(
    cell: Cell,
    rounds: int = 7,
    limit: float = LIMIT,
    known: dict | None = None,
    say: Callable = lambda message: None,
) -> dict:
    """One cell as numbers that JSON can hold: the rows, and every tolerance that was tried.

    ``known`` is an earlier measurement, whose rivals and whose optimum are taken as they are.
    """
    x, y = cells.draw(cell)
    objective = functools.partial(float64.objective, cell.function, x=x, y=y, l2=cell.l2)
    plain, loose, compiled = _ours(cell, *libraries.on_jax(x, y))
    own = [optimum.own(rival, objective) for rival in (plain, loose)]
    if rounds > 1 and own[0][1].seconds < QUICK:
        own.append(optimum.own(compiled, objective))
    if known:
        best, climbs = np.array(known["optimum"]), []
        best = lowest(best, [trial for _, trial in own])
    else:
        best = lowest(reference(cell, x, y, objective, own[0][1], limit), [t for _, t in own])
        best, climbs = climb(ways(cell, x, y), objective, best, limit, say)
    rows = timed(own, climbs, best, rounds, limit)
    if known:
        rows += [Row(**r) for r in known["rows"] if not r["name"].startswith("jaxlinear")]
    return {
        "name": cell.name,
        **cell._asdict(),
        "near": NEAR,
        "limit_seconds": limit,
        "optimum": best.tolist(),
        "rows": [row._asdict() for row in rows],
        "trials": known["trials"] if known else [trial for c in climbs for trial in told(c, best)],
        "rivals_of": known and (known.get("rivals_of") or known.get("date")),
    }


def _ours(cell: Cell, x, y) -> tuple[Rival, Rival, Rival]:
    loss = getattr(jl.losses, cell.function)
    plain = {
        "logistic": jl.logistic_regression,
        "poisson": jl.poisson_regression,
        "softmax_cross_entropy": functools.partial(jl.softmax_regression, classes=cell.k),
    }
    fit = plain.get(cell.function, functools.partial(jl.glm, loss))
    compiled = jax.jit(lambda x, y, l2: fit(x, y, l2).params)
    return (
        Rival(OURS, lambda: fit(x, y, cell.l2).params),
        Rival(LOOSE, lambda: fit(x, y, cell.l2, tol=1e-3).params),
        Rival(COMPILED, lambda: compiled(x, y, cell.l2)),
    )
