"""On which shapes is a convex fit quicker than the best of the others, and on which is it not?

All rivals answer the same question: the objective, computed again in float64 NumPy, is to be
within ``NEAR`` of the best that anyone found. A rival is timed at the loosest of ``TOLERANCES``
that takes it there, which flatters it; jaxlinear at its default, and at a tolerance of 1e-3 to see
what the default costs. The calls are those of a user, no ``jit`` around ours; where they
are short, their checks are a good part of them, and ours is timed under ``jit`` as well.

``measure`` is for scripts. The grid takes hours: each cell is written as soon as it is there.
"""

import contextlib
import datetime
import functools
import signal
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxlinear as jl
from benchmarks import cell_tables, convex_rivals, float64, grid_cells, harness, libraries, machine
from benchmarks import report as reports
from benchmarks.cell_tables import COMPILED, LOOSE, OURS
from benchmarks.grid_cells import Cell
from benchmarks.harness import Rival, Row

NEAR = 1e-6
TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
LIMIT = 60.0  # seconds of a call, after which it is not repeated
_PATIENCE = 5  # limits, after which a call that can be stopped is
_HOPELESS = 5  # times as long as the best rival: tighter, it would take longer still
_BUDGET = 10.0  # seconds for the rounds of a rival
_SHORT = 1.0  # seconds within which one thread may be quicker than all, and noise is great
_TURN = 0.01  # seconds that a turn takes at least, in calls that are no more than so many
_MOST_CALLS = 30
_SETTLING = 0.1  # seconds of calls before every turn of a rival that is shorter
_QUICK = 0.05  # seconds in which the checks of a call count
_NEWTON = 2_000  # coefficients of which a rival may hold a Hessian
_ORACLE = 500  # coefficients of which scikit-learn's Newton method in float64 is the first oracle


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
    """Measure the chosen ``cells`` (see ``grid_cells.choose``) beside those of an older result.

    The result is written to the folder ``out`` after every cell. With ``ours`` the rivals of the
    older result stay, and jaxlinear alone is timed: after a change, minutes instead of hours.
    """
    libraries.import_libraries()
    older = reports.latest("convex_grid", out) if out and not fast else None
    result = {
        "question": "convex_grid",
        "tables": [],  # of rivals, as other questions have: here they would be a hundred
        "cells": older["cells"] if older else [],
        "machine": machine.describe(**({"size": 256, "megabytes": 16} if fast else {})),
    }
    chosen = range(len(grid_cells.FAST)) if fast else grid_cells.choose(cells, kept_back)
    for number in chosen:
        cell = (grid_cells.FAST if fast else grid_cells.CELLS)[number]
        known = next((c for c in result["cells"] if c["name"] == cell.name), None)
        if not fast:
            jax.clear_caches()  # a first call owes nothing to the cell before
        made = measure(cell, 1 if fast else rounds, limit, known if ours else None, say)
        made |= {"number": number, "group": grid_cells.group(number)} | _origin(result["machine"])
        others = [c for c in result["cells"] if c["name"] != cell.name]
        result["cells"] = sorted([*others, made], key=lambda c: c["number"])
        say(cell_tables.line(made))
        if out:
            reports.write(result, out)
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
    x, y = grid_cells.draw(cell)
    objective = functools.partial(float64.objective, cell.function, x=x, y=y, l2=cell.l2)
    plain, loose, compiled = _ours(cell, *libraries.on_jax(x, y))
    own = [_own(rival, objective) for rival in (plain, loose)]
    if rounds > 1 and own[0][1].seconds < _QUICK:
        own.append(_own(compiled, objective))
    if known:
        best, climbs = np.array(known["optimum"]), []
        best = _lowest(best, [trial for _, trial in own])
    else:
        best = _lowest(_reference(cell, x, y, objective, own[0][1], limit), [t for _, t in own])
        best, climbs = climb(_ways(cell, x, y), objective, best, limit, say)
    rows = _timed(own, climbs, best, rounds, limit)
    if known:
        rows += [Row(**r) for r in known["rows"] if not r["name"].startswith("jaxlinear")]
    return {
        "name": cell.name,
        **cell._asdict(),
        "near": NEAR,
        "limit_seconds": limit,
        "optimum": best.tolist(),
        "rows": [row._asdict() for row in rows],
        "trials": known["trials"] if known else [trial for c in climbs for trial in _told(c, best)],
        "rivals_of": known and (known.get("rivals_of") or known.get("date")),
    }


# ------------------------------------------------------------------ jaxlinear


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


class Trial(NamedTuple):
    """A fit: its seconds, warm if not said otherwise, and where it ended."""

    seconds: float
    objective: Any = np.nan
    tol: float | None = None
    first: float | None = None
    answer: Any = None
    error: str | None = None


def _own(rival: Rival, objective: Callable) -> tuple[Rival, Trial]:
    """The first call, which compiles, and one more, which tells how many there may be."""
    try:
        first = harness.clock(rival.run)[0]
        seconds, params = harness.clock(rival.run)
        return rival, Trial(seconds, objective(params), first=first, answer=params)
    except Exception as error:
        return rival, Trial(np.inf, error=harness.describe(error))


# ------------------------------------------------------------------ what all are held to


def _reference(cell: Cell, x, y, objective: Callable, ours: Trial, limit: float):
    """An objective in float64 that does not hang on the rivals being near.

    Where a Hessian is small it is scikit-learn's, which shares no code with us. Elsewhere it is
    ours in float64 from where float32 has ended, and if that is not proven to be the optimum,
    scikit-learn's too.
    """
    best = np.array(np.inf)
    small = cell.d * (cell.k if cell.loss == "classes" else 1) <= _ORACLE
    oracle = _oracle(cell, x, y, "newton-cholesky" if small else "lbfgs")
    proven = False
    if not (small and oracle):
        params, proven = _in_float64(cell, x, y, ours)
        best = np.fmin(best, objective(params) if params else np.inf)
    if oracle and not proven:
        with contextlib.suppress(Exception), _stopped_after(_PATIENCE * limit):
            best = np.fmin(best, objective(oracle()))
    return best


def _oracle(cell: Cell, x, y, solver: str) -> Callable | None:
    if libraries.absent("sklearn") or cell.loss == "huber":
        return None
    return lambda: _sklearn(cell, x.astype(np.float64), y, solver)(1e-9)


def _in_float64(cell: Cell, x, y, ours: Trial) -> tuple[Any, bool]:
    """Parameters, and whether the report proves them to be the optimum."""
    try:
        with jax.enable_x64(True):
            x = x.astype(np.float64)
            y = y.astype(np.float64) if y.dtype == np.float32 else y
            start = ours.answer and jl.Linear(*(np.asarray(p, np.float64) for p in ours.answer))
            loss = getattr(jl.losses, cell.function)
            classes = cell.k if cell.function == "softmax_cross_entropy" else None
            fit = jl.glm(loss, x, y, cell.l2, outputs=classes, init=start, tol=1e-10)
            gap = np.max(fit.report.gap / np.abs(fit.report.objective))
            return jl.Linear(*map(np.asarray, fit.params)), bool(gap <= NEAR / 10)
    except Exception:  # no answer is no reason to lose those of the rivals
        return None, False


def _lowest(best, trials: list[Trial]):
    """Of every output the lowest objective so far."""
    for trial in trials:
        best = np.fmin(best, trial.objective)
    return best


def gap(objective, best) -> float:
    """How far above the best, relative to it; of several outputs the farthest."""
    return float(np.max((objective - best) / np.abs(best)))


# ------------------------------------------------------------------ rivals


class Way(NamedTuple):
    """A rival as a function of its tolerance."""

    name: str
    fit: Callable[[float], Any]
    compiles: bool = False
    threads: bool = True  # of BLAS, which can be limited
    missing: str | None = None  # why it takes no part


def _ways(cell: Cell, x, y) -> list[Way]:
    found = [
        Way(f"scikit-learn, {solver}", _sklearn(cell, x, y, solver), missing=_absent("sklearn"))
        for solver in _solvers(cell)
    ]
    if cell.loss in ("poisson", "gamma"):
        fit = functools.partial(convex_rivals.glum_glm, x, y, cell.l2, cell.loss)
        found.append(Way("glum", fit, missing=_absent("glum")))
    return found if cell.loss == "labels" else [*found, _optax(cell, x, y)]


def _absent(library: str) -> str | None:
    reason = libraries.absent(library)
    return reason and f"ImportError: {reason}"


def _solvers(cell: Cell) -> list[str]:
    if cell.loss == "huber":  # scikit-learn's has a scale of its own to fit
        return []
    hessian = cell.d * (cell.k if cell.function == "softmax_cross_entropy" else 1) <= _NEWTON
    quadratic = ["newton-cg"] if cell.function in ("logistic", "softmax_cross_entropy") else []
    return ["lbfgs", *quadratic, *["newton-cholesky"] * hessian]


def _sklearn(cell: Cell, x, y, solver: str) -> Callable:
    if cell.loss in ("poisson", "gamma"):
        return functools.partial(convex_rivals.sklearn_glm, x, y, cell.l2, cell.loss, solver)
    of = convex_rivals.sklearn_labels if cell.loss == "labels" else convex_rivals.sklearn_logistic
    return functools.partial(of, x, y, cell.l2, solver)


def _optax(cell: Cell, x, y) -> Way:
    zero = jl.zeros(cell.d, cell.k if cell.function == "softmax_cross_entropy" else None)
    loss, data = getattr(jl.losses, cell.function), jl.Batch(*libraries.on_jax(x, y))
    fit = convex_rivals.optax_lbfgs_compiled(loss, data, cell.l2, zero)
    return Way("optax, lbfgs", fit, compiles=True, threads=False)


class Climb(NamedTuple):
    """What a rival did from the loosest tolerance on, and why it went no farther."""

    way: Way
    trials: tuple[Trial, ...] = ()
    error: str | None = None

    def arrived(self, best) -> Trial | None:
        """The loosest that is near."""
        return next((t for t in self.trials if gap(t.objective, best) <= NEAR), None)


def climb(ways: list[Way], objective: Callable, best, limit: float, say: Callable):
    """The lowest objective that is known in the end, and the ``Climb`` of each way.

    The quickest goes on first: who is slower than the best by far, and not there, is let go. A
    rival that has arrived goes on if another shows that it had not.
    """
    climbs = [Climb(way, error=way.missing) for way in ways]
    while True:
        waiting = [i for i, c in enumerate(climbs) if not _ended(c, climbs, best, limit)]
        if not waiting:
            for i, reason in enumerate([_ended(c, climbs, best, limit) for c in climbs]):
                climbs[i] = climbs[i]._replace(error=None if reason is True else reason)
            return best, climbs
        i = min(waiting, key=lambda i: climbs[i].trials[-1].seconds if climbs[i].trials else 0)
        climbs[i] = _one_more(climbs[i], objective, limit)
        best = _lowest(best, climbs[i].trials[-1:])
        for trial in climbs[i].trials[-1:]:
            say(f"{climbs[i].way.name}, {_say(trial)}: {gap(trial.objective, best):.1e} above")


def _ended(climb: Climb, climbs: list[Climb], best, limit: float) -> str | bool:
    """Whether a way has arrived, or else why it goes no farther."""
    if climb.error or climb.arrived(best):
        return climb.error or True
    if not climb.trials:
        return False
    last = climb.trials[-1]
    there = [t.seconds for c in climbs if (t := c.arrived(best))]
    where = f"{gap(last.objective, best):.1e} above the optimum after {_say(last)}"
    if last.seconds > limit:
        return f"TimeoutError: {where}"
    if last.seconds > max(_SHORT, _HOPELESS * min(there, default=np.inf)):
        return f"TimeoutError: {where}, {last.seconds / min(there):.0f} times the best rival"
    if len(climb.trials) == len(TOLERANCES):
        return f"ValueError: never near: {min(gap(t.objective, best) for t in climb.trials):.1e}"
    return False


def _say(trial: Trial) -> str:
    return f"{1e3 * trial.seconds:.3g} ms at tol {trial.tol:g}"


def _one_more(climb: Climb, objective: Callable, limit: float) -> Climb:
    way, tol, first = climb.way, TOLERANCES[len(climb.trials)], None
    (rival,) = _variants(way, tol, [machine.cores()])
    try:
        with _stopped_after(_PATIENCE * limit):
            seconds, params = harness.clock(rival.run)
            if not climb.trials:
                first = seconds
            # The first call compiles, or wakes threads.
            if seconds < _SHORT or (way.compiles and not climb.trials):
                seconds = harness.clock(rival.run)[0]
        trial = Trial(seconds, objective(params), tol, first)
        return climb._replace(trials=(*climb.trials, trial))
    except Exception as error:
        return climb._replace(error=harness.describe(error))


@contextlib.contextmanager
def _stopped_after(seconds: float):
    """TimeoutError in what is in Python now and then, as the loops of solvers are."""
    alarm = getattr(signal, "SIGALRM", None)  # not on every system
    if alarm is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_):
        raise TimeoutError(f"no answer within {seconds:g} s")

    before = signal.signal(alarm, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(alarm, before)


# ------------------------------------------------------------------ the clock


def _variants(way: Way, tol: float, threads) -> list[Rival]:
    run = functools.partial(way.fit, tol)
    if way.threads:
        return libraries.rivals(way.name, run, threads=threads, said=f"tol {tol:g}")
    return [Rival(way.name, run, variant=f"tol {tol:g}")]


def _timed(own, climbs: list[Climb], best, rounds: int, limit: float) -> list[Row]:
    """Rows of ours, of the rivals that are near, and of those that are not.

    All take turns, the slow ones in fewer rounds; what was slower than the limit is not called
    again. Within a second a rival has a turn on one thread as well, and the quicker row stays.
    """
    rivals = [(rival, trial) for rival, trial in own if not trial.error]
    for c in climbs:
        if trial := c.arrived(best):
            counts = machine.thread_counts() if trial.seconds < _SHORT else [machine.cores()]
            # The first call of a way is that of its first tolerance.
            trial = trial._replace(first=c.trials[0].first)
            rivals += [(rival, trial) for rival in _variants(c.way, trial.tol, counts)]
    rivals = [(_longer(rival, trial.seconds), trial) for rival, trial in rivals]
    times = harness.turns(
        [rival for rival, _ in rivals],
        [_repeats(trial.seconds, rounds, limit) for _, trial in rivals],
        [_SETTLING if rounds > 1 and t.seconds < _SETTLING else 0.0 for _, t in rivals],
    )
    rows = [
        _row(rival, trial, *time[:2], time[3], best)
        for (rival, trial), time in zip(rivals, times, strict=True)
    ]
    failed = [
        Row(rival.name, rival.variant, error=trial.error) for rival, trial in own if trial.error
    ]
    absent = [Row(c.way.name, error=c.error) for c in climbs if not c.arrived(best)]
    return [*failed, *_quicker(rows), *absent]


def _longer(rival: Rival, seconds: float) -> Rival:
    """A turn of so many calls that it is more than waking threads and filling caches."""
    calls = int(np.clip(_TURN / max(seconds, 1e-9), 1, _MOST_CALLS))
    if calls == 1:
        return rival

    def run():
        for _ in range(calls):
            params = jax.block_until_ready(rival.run())
        return params

    return rival._replace(run=run, work=calls)


def _repeats(seconds: float, rounds: int, limit: float) -> int:
    if seconds > limit:
        return 0
    return int(np.clip(_BUDGET / max(seconds, 1e-9), 1, rounds))


def _row(rival: Rival, trial: Trial, seconds, cores, error, best) -> Row:
    above = float(f"{max(gap(trial.objective, best), 0):.1g}")
    if rival.name == OURS and not above <= NEAR:
        error = error or f"ValueError: {above:.1e} above the optimum, expected {NEAR:g}"
    # What is not called again is told by the one call there was.
    seconds = seconds or (() if error else (trial.seconds,))
    return Row(rival.name, rival.variant, rival.work, trial.first, seconds, cores, above, error)


def _quicker(rows: list[Row]) -> list[Row]:
    """One row for each name, in their order."""

    def speed(row):
        return row.median if row.seconds and not row.error else np.inf

    names = dict.fromkeys(row.name for row in rows)
    return [min((r for r in rows if r.name == name), key=speed) for name in names]


def _told(climb: Climb, best) -> list[dict]:
    return [
        {
            "name": climb.way.name,
            "tol": trial.tol,
            "seconds": trial.seconds,
            "above": float(f"{gap(trial.objective, best):.2g}"),
        }
        for trial in climb.trials
    ]
